// Lines that a peer can cause: so many and no more, and how many were left out.
import type { ClockMs, LogFields, Logger, LogLevel } from '@latchkey/core'

/** Enough to see what a scan or a broken client does; a flood writes 60 lines a minute, not a disk full. */
const BURST = 20
const PER_MINUTE = 60

export type LimitedLog = (level: Exclude<LogLevel, 'critical'>, text: string, fields: LogFields) => void

/**
 * Writes to `logger`, at most 60 lines a minute after a burst of 20. The next line that is written says how many were
 * left out before it.
 *
 * @param clock milliseconds that never go back.
 */
export function limitLog(logger: Logger, clock: ClockMs): LimitedLog {
  let tokens = BURST
  let refilled = clock()
  let leftOut = 0
  return (level, text, fields) => {
    if (!logger.isEnabled(level)) return
    const now = clock()
    tokens = Math.min(BURST, tokens + ((now - refilled) * PER_MINUTE) / 60_000)
    refilled = now
    if (tokens < 1) {
      leftOut++
      return
    }
    tokens--
    if (leftOut === 0) logger[level](text, fields)
    else logger[level](`${text} (${leftOut} such lines were left out)`, { ...fields, leftOut })
    leftOut = 0
  }
}

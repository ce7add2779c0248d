// The life of a daemon between its start and its end: signals, and what they do.
//
//   SIGTERM, SIGINT   end: what is under way finishes, then exit 0; a second one exits at once with 128 + its number
//   SIGHUP            reload
//   disconnect        the parent that started us over an IPC channel has gone: end as on SIGTERM
import { constants } from 'node:os'
import type { Logger } from '@latchkey/core'
import { fatalText } from './fatal.ts'

const END_SIGNALS = ['SIGTERM', 'SIGINT'] as const

export interface DaemonLife {
  /** Undefined: signals are for somebody else, who says so; SIGHUP does nothing here. Else what it does; it says what it did. A failure is logged and the daemon goes on as before. */
  readonly reload: (() => Promise<void>) | undefined
  readonly logger: Logger
}

/** Listens to signals from now on: called before anything is started. Resolves when the process is asked to end. */
export function untilAskedToEnd({ reload, logger }: DaemonLife): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let isEnding = false
  const end = (reason: string, isSaid = true): void => {
    if (!isEnding && isSaid) logger.info(`${reason}: finishing what is under way; once more ends at once`)
    isEnding = true
    resolve()
  }
  for (const signal of END_SIGNALS) {
    process.on(signal, () => {
      if (isEnding) process.exit(128 + constants.signals[signal])
      end(signal, reload !== undefined)
    })
  }
  process.on('disconnect', () => end('the parent process has gone'))
  let reloading: Promise<void> | undefined
  process.on('SIGHUP', () => {
    if (isEnding || reloading !== undefined || reload === undefined) return
    reloading = reload()
      .catch((error: unknown) =>
        logger.error(`SIGHUP: not reloaded, going on as before: ${fatalText(error)}`),
      )
      .finally(() => {
        reloading = undefined
      })
  })
  return promise
}

// Structured log lines: a text people grep for, fields machines read, a context that is passed down.

export const LOG_LEVELS = ['debug', 'info', 'warning', 'error', 'critical'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export interface LogRecord {
  readonly level: LogLevel
  readonly text: string
  readonly fields: LogFields
}

/** A logger never throws and never waits. `with` gives one whose lines all carry `fields` as well. */
export interface Logger {
  debug(text: string, fields?: LogFields): void
  info(text: string, fields?: LogFields): void
  warning(text: string, fields?: LogFields): void
  error(text: string, fields?: LogFields): void
  critical(text: string, fields?: LogFields): void
  with(fields: LogFields): Logger
  /** Whether lines of `level` are kept: asked before an expensive text is built. */
  isEnabled(level: LogLevel): boolean
}

/** A logger that hands each record at or above `minimum` to `sink`. */
export function createLogger(
  sink: (record: LogRecord) => void,
  minimum: LogLevel = 'info',
  context: LogFields = {},
): Logger {
  const threshold = LOG_LEVELS.indexOf(minimum)
  const isEnabled = (level: LogLevel): boolean => LOG_LEVELS.indexOf(level) >= threshold
  const at =
    (level: LogLevel) =>
    (text: string, fields?: LogFields): void => {
      if (isEnabled(level))
        sink({ level, text, fields: fields === undefined ? context : { ...context, ...fields } })
    }
  return {
    debug: at('debug'),
    info: at('info'),
    warning: at('warning'),
    error: at('error'),
    critical: at('critical'),
    with: (fields) => createLogger(sink, minimum, { ...context, ...fields }),
    isEnabled,
  }
}

/** Keeps nothing. */
export const silentLogger: Logger = createLogger(() => {}, 'critical')

/** A level by its name, or by gokeyless's number (0 debug … 5 fatal); undefined if it is neither. */
export function parseLogLevel(text: string): LogLevel | undefined {
  if (text === '5' || text === 'fatal') return 'critical'
  return /^[0-4]$/.test(text) ? LOG_LEVELS[Number(text)] : LOG_LEVELS.find((level) => level === text)
}

/** `2026/11/22 06:27:25 [INFO] text`, local time: the form operators of gokeyless grep for. Fields are left out. */
export function formatTextLine({ level, text }: LogRecord, now: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const date = `${now.getFullYear()}/${two(now.getMonth() + 1)}/${two(now.getDate())}`
  const time = `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`
  return `${date} ${time} [${level.toUpperCase()}] ${oneLine(text)}\n`
}

/** One JSON object a line: `time`, `level`, `msg`, then the fields. */
export function formatJsonLine({ level, text, fields }: LogRecord, now: Date): string {
  return `${JSON.stringify({ time: now.toISOString(), level, msg: text, ...fields })}\n`
}

/** A peer's text must not be able to start a line of its own. */
function oneLine(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

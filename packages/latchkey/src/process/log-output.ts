// Where log lines of a daemon go: standard error, as text that people grep or as JSON.
import {
  createLogger,
  formatJsonLine,
  formatTextLine,
  type Logger,
  type LogLevel,
  type LogRecord,
} from '@latchkey/core'

export const LOG_FORMATS = ['text', 'json'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export function formatted(format: LogFormat): (record: LogRecord, now: Date) => string {
  return format === 'json' ? formatJsonLine : formatTextLine
}

export function logTo(write: (line: string) => void, format: LogFormat, level: LogLevel): Logger {
  const line = formatted(format)
  return createLogger((record) => write(line(record, new Date())), level)
}

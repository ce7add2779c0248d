// Where log lines of a daemon go: standard error, as text that people grep or as JSON.
import { createLogger, formatJsonLine, formatTextLine, type Logger, type LogLevel } from '@latchkey/core'

export const LOG_FORMATS = ['text', 'json'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export function logTo(write: (line: string) => void, format: LogFormat, level: LogLevel): Logger {
  const formatted = format === 'json' ? formatJsonLine : formatTextLine
  return createLogger((record) => write(formatted(record, new Date())), level)
}

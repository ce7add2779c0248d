// The last thing a process says: one clear line, or the report of a configuration error. Never a stack for an
// operator's mistake.
import { CodedError, formatJsonLine, type LogFields } from '@latchkey/core'
import { ConfigError } from '../config/config-error.ts'
import type { LogFormat } from './log-output.ts'
import { WorkerStartError } from './worker-start-error.ts'

/** What to do about the errors of the system that people meet when a server starts. */
const SYSTEM_HINTS: Readonly<Record<string, (error: NodeJS.ErrnoException) => string>> = {
  EADDRINUSE: () => 'another process listens there: stop it, or choose another port',
  EACCES: (error) =>
    error.syscall === 'listen'
      ? 'ports below 1024 need CAP_NET_BIND_SERVICE: use a higher port or grant it'
      : 'check the permissions',
  EADDRNOTAVAIL: () => 'this machine has no such address: use 127.0.0.1, or :: for all',
  ENOTFOUND: () => 'this name has no address: use 127.0.0.1, or :: for all',
}

/** Writes what `error` means. A bug of ours (neither coded nor of the system) shows its stack: somebody must see it. */
export function reportFatal(error: unknown, write: (text: string) => void, format: LogFormat = 'text'): void {
  if (error instanceof WorkerStartError) write(error.message)
  else if (format === 'json')
    write(formatJsonLine({ level: 'critical', text: fatalText(error), fields: fieldsOf(error) }, new Date()))
  else if (error instanceof ConfigError) write(error.report())
  else write(`latchkey: ${fatalText(error)}\n`)
}

function fieldsOf(error: unknown): LogFields {
  if (!(error instanceof CodedError)) return {}
  if (!(error instanceof ConfigError)) return { code: error.code }
  const { code, file, line, column, path, found, expected, hint } = error
  return { code, file, line, column, path, found, expected, hint }
}

export function fatalText(error: unknown): string {
  if (error instanceof CodedError) return `${error.message} (${error.code})${hintOf(error.cause)}`
  if (!(error instanceof Error)) return `unexpected: ${String(error)}`
  const { syscall } = error as NodeJS.ErrnoException
  return syscall === undefined
    ? `unexpected: ${error.stack ?? error.message}`
    : `${error.message}${hintOf(error)}`
}

function hintOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  const hint = SYSTEM_HINTS[(error as NodeJS.ErrnoException).code ?? '']
  return hint === undefined ? '' : `. ${hint(error)}`
}

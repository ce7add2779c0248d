// Everything that can be wrong with a configuration, told so that it can be mended without reading source.
import { CodedError, type ErrorDetail } from '@latchkey/core'

export const CONFIG_ERRORS = {
  ERR_CONFIG_FILE: 'the configuration file cannot be read',
  ERR_CONFIG_SYNTAX: 'the configuration file is not YAML',
  ERR_CONFIG_UNKNOWN_KEY: 'there is no such setting',
  ERR_CONFIG_MISSING: 'a setting is missing',
  ERR_CONFIG_VALUE: 'a setting cannot have this value',
  ERR_CONFIG_REFERENCE: 'a file that a setting names cannot be used',
  ERR_CONFIG_CERTIFICATE: 'a certificate does not fit',
} as const satisfies Record<string, string>
export type ConfigErrorCode = keyof typeof CONFIG_ERRORS

export interface ConfigErrorDetail extends ErrorDetail {
  /** The configuration file, or what stands in for it: `flag --port`, `environment KEYLESS_PORT`. */
  readonly file?: string | undefined
  /** Of the setting in it, from 1. */
  readonly line?: number | undefined
  readonly column?: number | undefined
  /** The setting: `hosts[0].origin`. */
  readonly path?: string | undefined
  readonly found?: string | undefined
  readonly expected?: string | undefined
  readonly hint?: string | undefined
}

/** A configuration that cannot be used. Its fields say where, what, and what instead; no field holds a secret. */
export class ConfigError extends CodedError<ConfigErrorCode> {
  readonly file: string | undefined
  readonly line: number | undefined
  readonly column: number | undefined
  readonly path: string | undefined
  readonly found: string | undefined
  readonly expected: string | undefined
  readonly hint: string | undefined

  constructor(code: ConfigErrorCode, detail: ConfigErrorDetail = {}) {
    super(code, CONFIG_ERRORS[code], { detail: oneLine(detail), cause: detail.cause })
    this.file = detail.file
    this.line = detail.line
    this.column = detail.column
    this.path = detail.path
    this.found = detail.found
    this.expected = detail.expected
    this.hint = detail.hint
  }

  /** For a terminal: one fact a line. */
  report(): string {
    const rows: [label: string, text: string | undefined][] = [
      ['in', place(this)],
      ['setting', this.path],
      ['found', this.found],
      ['expected', this.expected],
      ['hint', this.hint],
    ]
    const lines = rows.filter(([, text]) => text !== undefined && text !== '')
    const body = lines.map(([label, text]) => `  ${label.padEnd(9)}${text}\n`).join('')
    return `latchkey: ${CONFIG_ERRORS[this.code]} (${this.code})\n${body}`
  }
}

function place({ file, line, column }: ConfigErrorDetail): string | undefined {
  return [file, line, column].filter((part) => part !== undefined).join(':') || undefined
}

function oneLine(detail: ConfigErrorDetail): string | undefined {
  const { path, found, expected, hint } = detail
  const parts = [
    place(detail),
    path,
    found === undefined ? undefined : `found ${found}`,
    expected === undefined ? undefined : `expected ${expected}`,
    hint === undefined ? undefined : `hint: ${hint}`,
  ]
  return parts.filter((part) => part !== undefined).join('; ') || undefined
}

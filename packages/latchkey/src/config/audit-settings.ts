// The settings of the audit log.
import { resolve } from 'node:path'
import { filePath, setting, wholeNumber } from './settings.ts'

export interface AuditConfig {
  readonly directory: string
  readonly maxFileBytes: number
  readonly maxFiles: number
  readonly fsync: 'never' | 'commit'
  /** Of an operation that cannot be recorded: no answer, or one all the same. */
  readonly onFailure: 'refuse' | 'continue'
}

function oneOf<const T extends string>(...values: readonly T[]) {
  return setting(values.join(' or '), (value) => values.find((each) => each === value))
}

export const AUDIT_SCHEMA = {
  audit_dir: filePath.optional(),
  audit_max_file_bytes: wholeNumber('a number of bytes, 65536 to 999999999', 65_536, 999_999_999),
  audit_max_files: wholeNumber('a number of files, 2 to 1000000', 2, 1_000_000),
  audit_fsync: oneOf('never', 'commit'),
  audit_on_failure: oneOf('refuse', 'continue'),
}

export const AUDIT_DEFAULTS = {
  audit_max_file_bytes: 64 * 1024 * 1024,
  audit_max_files: 64,
  audit_fsync: 'never',
  audit_on_failure: 'refuse',
}

/** @returns undefined: off. */
export function auditConfig(
  settings: {
    readonly audit_dir?: string | undefined
    readonly audit_max_file_bytes: number
    readonly audit_max_files: number
    readonly audit_fsync: AuditConfig['fsync']
    readonly audit_on_failure: AuditConfig['onFailure']
  },
  cwd: string,
): AuditConfig | undefined {
  if (settings.audit_dir === undefined) return undefined
  return {
    directory: resolve(cwd, settings.audit_dir),
    maxFileBytes: settings.audit_max_file_bytes,
    maxFiles: settings.audit_max_files,
    fsync: settings.audit_fsync,
    onFailure: settings.audit_on_failure,
  }
}

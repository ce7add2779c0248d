// Every way an audit log cannot be opened or read. A record that cannot be written is no error but an outcome.
import { CodedError, type ErrorDetail } from '@latchkey/core'

export const AUDIT_ERRORS = {
  ERR_AUDIT_DIRECTORY: 'the audit directory or a file in it cannot be used',
  ERR_AUDIT_LOCKED: 'another process writes this audit chain',
  ERR_AUDIT_DAMAGED: 'the audit chain was changed at its end and cannot be continued',
} as const satisfies Record<string, string>
export type AuditErrorCode = keyof typeof AUDIT_ERRORS

/** An audit log that cannot be opened or read; nothing was changed. */
export class AuditError extends CodedError<AuditErrorCode> {
  constructor(code: AuditErrorCode, options?: ErrorDetail) {
    super(code, AUDIT_ERRORS[code], options)
  }
}

// A log of key uses that shows whether anything of it was changed.
export { type AuditBatch, AuditLog, type AuditLogOptions, openAudit } from './audit-log.ts'
export { AUDIT_ERRORS, AuditError, type AuditErrorCode } from './errors.ts'
export { AuditedClient, type AuditEvent, type KeyUse, type KeyUseOutcome } from './record.ts'
export {
  type AuditReport,
  type BreakKind,
  type ChainBreak,
  type ChainReport,
  verifyAudit,
  type VerifyOptions,
} from './verify.ts'

// The seam for an audit log: what a key server tells about each use of a key, before anyone hears of the outcome.
import { opcodeRow } from '@latchkey/wire'
import type { Failure } from './answer.ts'
import type { KeyRequest } from './key-request.ts'

/** What came of a key use. `denied` and `not_found` look the same to the client. */
export interface AuditVerdict {
  readonly outcome: 'ok' | 'denied' | 'not_found' | 'failed'
  /** A code of the protocol, or `unanswered`: the client had gone. Empty: ok. */
  readonly reason: string
}

/** Records that are written together. */
export interface AuditBatch {
  /** Known after the next commit. Replies whose record is not kept are not sent, but error 8. */
  readonly isKept: boolean
}

/** Called in the middle of the work: both must be quick, as they hold up all connections, and must not throw. */
export interface AuditTrail {
  record(request: KeyRequest, verdict: AuditVerdict): AuditBatch
  /** Writes what was recorded. Called before replies are sent. */
  commit(): void
}

/** Whether a request is for work with a key, be it a private key or one for sealing. */
export function isKeyUse({ operation }: KeyRequest): boolean {
  const kind = opcodeRow(operation.opcode)?.kind
  return kind === 'sign' || kind === 'decrypt' || kind === 'seal' || kind === 'unseal'
}

const OK: AuditVerdict = { outcome: 'ok', reason: '' }

export function verdictOf(failure: Failure | undefined): AuditVerdict {
  if (failure === undefined) return OK
  const { code: reason, stage } = failure
  if (stage === 'policy') return { outcome: 'denied', reason }
  return { outcome: reason === 'ERR_KEYLESS_KEY_NOT_FOUND' ? 'not_found' : 'failed', reason }
}

/** The work was done, or was under way, when the client had gone. */
export const UNANSWERED: AuditVerdict = { outcome: 'failed', reason: 'unanswered' }

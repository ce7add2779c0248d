// The key server: accepts, authorises and answers Keyless requests.
export type { Denial, KeyOperation, KeyUseQuestion, Sealing } from './answer.ts'
export type { AuditBatch, AuditTrail, AuditVerdict } from './audit-trail.ts'
export type { CertificateMetrics } from './certificate-metrics.ts'
export type { Client } from './client.ts'
export { KEYSERVER_ERRORS, KeyServerError, type KeyServerErrorCode } from './errors.ts'
export type { KeyRequest } from './key-request.ts'
export {
  createKeyServer,
  type KeyServer,
  type KeyServerCertificates,
  type KeyServerOptions,
  type KeyServerStatus,
} from './key-server.ts'
export { DEFAULT_LIMITS, type Limits } from './limits.ts'
export { KeyServerMetrics, type KeyServerMetricsOptions } from './metrics.ts'
export type {
  ConnectionEnd,
  HandshakeFailure,
  KeyServerObserver,
  PauseCause,
  RequestOutcome,
} from './observer.ts'
export {
  MIN_SEAL_SECRET_BYTES,
  SealingKeys,
  type SealingKeysOptions,
  type Unsealed,
} from './sealing-keys.ts'
export type { RequestSpan, RequestTracer, WorkSpan } from './tracer.ts'
export {
  type ClientPattern,
  type KeyPattern,
  type Policy,
  POLICY_OPERATIONS,
  type PolicyOperation,
  type PolicyRule,
  type Rate,
} from './policy/policy.ts'
export { PolicyEngine, type PolicyEngineOptions } from './policy/policy-engine.ts'

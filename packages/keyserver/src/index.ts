// The key server: accepts, authorises and answers Keyless requests.
export type { KeyOperation } from './answer.ts'
export type { Client } from './client.ts'
export { KEYSERVER_ERRORS, KeyServerError, type KeyServerErrorCode } from './errors.ts'
export type { KeyRequest } from './key-request.ts'
export {
  createKeyServer,
  type KeyServer,
  type KeyServerCertificates,
  type KeyServerOptions,
} from './key-server.ts'
export { DEFAULT_LIMITS, type Limits } from './limits.ts'
export type { ConnectionEnd, KeyServerObserver, RequestOutcome } from './observer.ts'

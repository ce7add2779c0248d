// An edge that serves HTTPS for many host names without a private key: the public face.
export { coversName, createEdge, Edge, type EdgeHost, type EdgeOptions } from './edge.ts'
export { EDGE_ERRORS, EdgeError, type EdgeErrorCode, type GatewayErrorCode } from './errors.ts'
export type { KeyServerLocation, KeyServerTls } from './key-servers.ts'
export { DEFAULT_LIMITS, type EdgeLimits } from './limits.ts'
export { subjectKeyIdentifier } from './ski.ts'

// Connections to key servers, and a Signer on top of them.
export type { KeyServerClient, KeyServerCounts, KeyServerHealth, RequestOptions } from './client.ts'
export { DEFAULT_PORT, type KeyServerAddress } from './dial.ts'
export { CLIENT_ERRORS, ClientError, type ClientErrorCode } from './errors.ts'
export { ipAddressBytes } from './ip-address.ts'
export type { LinkState } from './link.ts'
export { createKeyServerClient } from './multiplexed-client.ts'
export {
  DEFAULT_NETWORK_LIMITS,
  KeyServerNetwork,
  type NetworkClient,
  type NetworkCounts,
  type NetworkHealth,
  type NetworkLimits,
  type NetworkOptions,
} from './network/network.ts'
export { type ClientLimits, DEFAULT_LIMITS, type KeyServerClientOptions } from './options.ts'
export {
  createKeylessSigner,
  type KeylessSignerOptions,
  type KeyServerChoice,
  type RemoteKey,
  type Requester,
} from './signer.ts'

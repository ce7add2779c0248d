// A TLS server engine, 1.3 and 1.2, whose private key may be anywhere: the public face.
export type { AdmissionOptions, AdmissionRates } from './admission/admission.ts'
export type { BucketRate } from './admission/token-buckets.ts'
export { type AlertName, ALERTS } from './alert.ts'
export { type ClientCaOptions, createClientCaPolicy } from './client-certificate/client-ca-policy.ts'
export type {
  ClientAuthentication,
  ClientCertificatePolicies,
  ClientCertificatePolicy,
} from './client-certificate/policy.ts'
export type { CaOption } from './client-certificate/trust-anchors.ts'
export {
  type CertificateStore,
  createCertificateStore,
  type HostCredentials,
  type NamedHello,
} from './credential/certificate-store.ts'
export { type Credential, loadCredential } from './credential/credential.ts'
export {
  type DelegatedCredential,
  type DelegatedCredentialParts,
  type DelegatedCredentialSource,
  type DelegatedScheme,
  loadDelegatedCredential,
} from './credential/delegation.ts'
export { TLS_ERRORS, TlsError, type TlsErrorCode } from './errors.ts'
export type { Staples } from './credential/stapling.ts'
export { CIPHER_SUITES, type CipherSuiteName } from './handshake/cipher-suite.ts'
export type { Fingerprint } from './handshake/fingerprint.ts'
export { type GroupName, NAMED_GROUPS } from './handshake/named-group.ts'
export type { ProtocolName, Session } from './handshake/session.ts'
export {
  SIGNATURE_SCHEMES,
  type SignatureScheme,
  type SignatureSchemeName,
} from './handshake/signature-scheme.ts'
export { CIPHER_SUITES12, type CipherSuite12Name } from './handshake12/cipher-suite12.ts'
export { premasterOfBlock } from './handshake12/premaster-secret.ts'
export type { Credential12 } from './handshake12/credential12.ts'
export type { KeyLog } from './key-log.ts'
export { noPadding, type PaddingPolicy, toMultipleOf } from './record/padding.ts'
export type { ConnectionHandlers } from './connection-handlers.ts'
export { ServerConnection } from './server-connection.ts'
export {
  createServerContext,
  type EarlyFlush,
  type ServerContext,
  type ServerContextOptions,
} from './server-context.ts'
export { DelegatedCredentials, type DelegatedCredentialsOptions } from './signer/delegated-credentials.ts'
export { createLocalSigner } from './signer/local-signer.ts'
export type {
  DecryptRequest,
  PrivateKeyOperation,
  SignaturePurpose,
  Signer,
  SignRequest,
} from './signer/signer.ts'
export { createHttp2Server, type Http2Options, type Http2RequestListener } from './socket/http2-server.ts'
export { createServer, createTlsServer, type TlsServerOptions } from './socket/server.ts'
export { TlsSocket } from './socket/tls-socket.ts'
export { warmUp, type WarmUpOptions, type WarmUpReport } from './socket/warm-up.ts'
export {
  createTicketKeyring,
  type SharedTicketKeyring,
  type TicketKeyring,
  type TicketRootKey,
} from './ticket/ticket-keys.ts'
export { TICKET_LIFETIME_SECONDS, TicketSealer, type TicketSealerOptions } from './ticket/ticket-sealer.ts'
export { useOpenSslPrimitives } from './openssl/openssl-primitives.ts'

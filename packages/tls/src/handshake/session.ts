// What a handshake of either version comes to.
import type { ClientAuthentication } from '../client-certificate/policy.ts'
import type { Credential } from '../credential/credential.ts'
import type { Exporter } from '../exporter.ts'
import type { CipherSuite12Name } from '../handshake12/cipher-suite12.ts'
import type { CipherSuite, CipherSuiteName } from './cipher-suite.ts'
import type { TrafficSecrets } from './key-schedule.ts'
import type { GroupName } from './named-group.ts'
import type { SignatureSchemeName } from './signature-scheme.ts'

/** Versions by the names that `node:tls` has for them. */
export type ProtocolName = 'TLSv1.2' | 'TLSv1.3'

/** What was agreed. */
export interface Session extends ClientAuthentication {
  readonly protocol: ProtocolName
  readonly serverName: string
  readonly alpnProtocol: string | undefined
  readonly cipherSuite: CipherSuiteName | CipherSuite12Name
  /** undefined: TLS 1.2 resumed, or with RSA key exchange. */
  readonly group: GroupName | undefined
  /** Whether a ticket stood in for certificate and signature. */
  readonly isResumed: boolean
  /** undefined: nothing was signed. */
  readonly signatureScheme: SignatureSchemeName | undefined
  /** The certificate that was sent, in this handshake or in the one that is resumed. */
  readonly credential: Credential
  readonly usedHelloRetryRequest: boolean
  /** Whether a delegated credential's key signed, and not the certificate's. RFC 9345. */
  readonly usedDelegatedCredential: boolean
}

export interface Established {
  readonly session: Session
  /** What KeyUpdate goes on from; undefined in TLS 1.2, which keeps its keys. */
  readonly traffic: { readonly suite: CipherSuite; readonly secrets: TrafficSecrets } | undefined
  /** Consumed by the connection; undefined: nothing may be exported. */
  readonly exporter: Exporter | undefined
}

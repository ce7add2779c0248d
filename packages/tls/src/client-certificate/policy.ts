// The seam between the handshake and whoever decides about clients by their certificates.
import type { X509Certificate } from '../crypto-provider.ts'
import type { TlsError, TlsErrorCode } from '../errors.ts'
import type { SignatureSchemeName } from '../handshake/signature-scheme.ts'

/** What clients are asked for, and who may come in. Read-only and shared by all handshakes. */
export interface ClientCertificatePolicy {
  /** Whether a client without a certificate is refused. */
  readonly isRequired: boolean
  /** Whether a client whose certificate `verify` refuses is refused; otherwise the session only says so. */
  readonly rejectUnauthorized: boolean
  /** DER of the Names of the CAs that certificates may come from: a hint for the client. Empty: none. */
  readonly authorities: readonly Uint8Array[]
  /** What clients may sign with. Default: all of `SIGNATURE_SCHEMES`. */
  readonly schemes?: readonly SignatureSchemeName[] | undefined
  /**
   * Whether this is a client that we want. Called once a handshake, before the client has proved that it has the key:
   * nothing may be given away or written down by it. Also called when such a client comes back by ticket, with what it
   * showed then: the session goes on if the verdict is what it was. Synchronous, in the event loop: other connections wait.
   *
   * @param chain leaf first, never empty, as presented: neither sorted nor connected.
   * @param nowMs milliseconds since the epoch.
   * @returns why not; its code is the alert that the client gets.
   */
  verify(chain: readonly X509Certificate[], nowMs: number): TlsError | undefined
}

/** Which policy holds for the name a client asks for, '' if none; undefined: no certificate is asked for. */
export type ClientCertificatePolicies = (hello: {
  readonly serverName: string
}) => ClientCertificatePolicy | undefined

/** What is known of the client when the handshake is done. */
export interface ClientAuthentication {
  /** DER, leaf first, as presented; empty: none. */
  readonly peerCertificates: readonly Uint8Array[]
  /** Whether the client showed a certificate that the policy accepts, and has its key. */
  readonly authorized: boolean
  /** Why it is not authorized, where it was asked for a certificate. */
  readonly authorizationError: TlsErrorCode | undefined
}

const NOT_ASKED: ClientAuthentication = {
  peerCertificates: [],
  authorized: false,
  authorizationError: undefined,
}

const ANONYMOUS: ClientAuthentication = {
  peerCertificates: [],
  authorized: false,
  authorizationError: 'ERR_TLS_CERTIFICATE_REQUIRED',
}

/** A client that showed no certificate, in this handshake or in the one that is resumed. */
export function notShown(policy: ClientCertificatePolicy | undefined): ClientAuthentication {
  return policy === undefined ? NOT_ASKED : ANONYMOUS
}

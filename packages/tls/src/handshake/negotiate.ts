// What is chosen from a ClientHello: pure, cheapest checks first, nothing asymmetric. RFC 8446 §4.1.1.
import { TLS12, TLS13 } from './protocol-version.ts'
import type { CertificateMessages } from '../credential/certificate-messages.ts'
import type { Credential } from '../credential/credential.ts'
import { type DelegatedCredential, isServable } from '../credential/delegation.ts'
import type { AeadName } from '../crypto-provider.ts'
import { refuse, type TlsErrorCode } from '../errors.ts'
import { CIPHER_SUITES12 } from '../handshake12/cipher-suite12.ts'
import type { ServerContext } from '../server-context.ts'
import { type CipherSuite, CIPHER_SUITES } from './cipher-suite.ts'
import type { ClientHello } from './client-hello.ts'
import { checkShare, type NamedGroup } from './named-group.ts'
import { SIGNATURE_SCHEMES, type SignatureSchemeName } from './signature-scheme.ts'

export interface Choice {
  readonly suite: CipherSuite
  readonly group: NamedGroup
  /** The client's share for `group`; undefined: ask for one with a HelloRetryRequest. */
  readonly clientShare: Uint8Array | undefined
  /** Those that answer to the name, in order of preference. */
  readonly credentials: readonly Credential[]
  readonly alpnProtocol: string | undefined
}

/** What a full handshake authenticates with. */
export interface Authentication {
  readonly credential: Credential
  /** Of CertificateVerify. */
  readonly scheme: SignatureSchemeName
  readonly certificateMessages: CertificateMessages
  /** Whose key signs, here and at once; undefined: the certificate's, which the signer is asked for. */
  readonly delegated: DelegatedCredential | undefined
}

/** For TLS 1.3. @throws {TlsError} with the alert that says what was not in common. */
export function negotiate(hello: ClientHello, context: ServerContext): Choice {
  // RFC 8446 §4.1.2: exactly one byte, zero.
  if (hello.legacyCompressionMethods.length !== 1)
    refuse('ERR_TLS_ILLEGAL_PARAMETER', 'compression offered in TLS 1.3')
  requireMandatoryExtensions(hello)
  const credentials = selectTenant(hello, context, 'ERR_TLS_MISSING_EXTENSION')
  const suite =
    selectSuite(hello, context.cipherSuites) ??
    refuse('ERR_TLS_HANDSHAKE_FAILURE', 'no cipher suite in common')
  const { group, clientShare } = selectGroup(hello, context.groups)
  const alpnProtocol = selectAlpnProtocol(hello, context.alpnProtocols)
  return { suite, group, clientShare, credentials, alpnProtocol }
}

/** RFC 8446 §9.2. */
function requireMandatoryExtensions(hello: ClientHello): void {
  if (hello.supportedGroups === undefined) refuse('ERR_TLS_MISSING_EXTENSION', 'supported_groups')
  if (hello.keyShares === undefined) refuse('ERR_TLS_MISSING_EXTENSION', 'key_share')
  // A client that only resumes may leave it out; if it cannot resume, selectAuthentication misses it.
  if (hello.signatureAlgorithms === undefined && hello.preSharedKey === undefined) {
    refuse('ERR_TLS_MISSING_EXTENSION', 'signature_algorithms')
  }
  // RFC 8446 §4.2.9
  if (hello.preSharedKey !== undefined && hello.pskKeyExchangeModes === undefined)
    refuse('ERR_TLS_MISSING_EXTENSION', 'psk_key_exchange_modes')
}

/** @param unnamed what a client is told that must name a server and does not. */
export function selectTenant(
  hello: ClientHello,
  { certificates }: ServerContext,
  unnamed: TlsErrorCode,
): readonly Credential[] {
  const credentials = certificates.select(hello)
  if (credentials !== undefined && credentials.length > 0) return credentials
  if (hello.serverName === '') return refuse(unnamed, 'server_name, and there is no default certificate')
  return refuse('ERR_TLS_UNRECOGNIZED_NAME', hello.serverName)
}

/**
 * The highest version for the name that is asked for. TLS 1.3 signs RSA as PSS only (RFC 8446 §4.2.3): a name whose keys do
 * no more than PKCS#1 v1.5 is served as by a server that has no TLS 1.3, without its downgrade sentinel.
 */
export function maxVersionFor(hello: ClientHello, { maxVersion, certificates }: ServerContext): number {
  if (maxVersion < TLS13) return maxVersion
  const credentials = certificates.select(hello) ?? []
  return credentials.length > 0 && credentials.every(({ schemes }) => schemes.length === 0)
    ? TLS12
    : maxVersion
}

/** Our order, unless the client puts ChaCha20 before every AES suite: then it has no AES instructions. */
export function selectSuite<Suite extends { readonly code: number; readonly aead: AeadName }>(
  { cipherSuites }: ClientHello,
  ours: readonly Suite[],
): Suite | undefined {
  const common = ours.filter(({ code }) => cipherSuites.includes(code))
  const chacha = common.find(({ aead }) => aead === 'chacha20-poly1305')
  return chacha !== undefined && prefersChaCha(cipherSuites) ? chacha : common[0]
}

function prefersChaCha(offered: readonly number[]): boolean {
  const first = offered.find((code) => AEADS.has(code))
  return first !== undefined && AEADS.get(first) === 'chacha20-poly1305'
}

/** Of every suite of both versions. */
const AEADS: ReadonlyMap<number, AeadName> = new Map(
  [...Object.values(CIPHER_SUITES), ...Object.values(CIPHER_SUITES12)].map(({ code, aead }) => [code, aead]),
)

/** RFC 8446 §4.2.8: a share we can use, in our order; else a group to ask for one. */
function selectGroup(
  hello: ClientHello,
  ours: readonly NamedGroup[],
): { group: NamedGroup; clientShare: Uint8Array | undefined } {
  const groups = hello.supportedGroups ?? []
  const shares = hello.keyShares ?? []
  for (const share of shares) {
    if (!groups.includes(share.group))
      refuse('ERR_TLS_ILLEGAL_PARAMETER', `share for group ${share.group}, which is not in supported_groups`)
  }
  for (const group of ours) {
    const share = shares.find((candidate) => candidate.group === group.code)
    if (share === undefined) continue
    checkShare(group, share.keyExchange)
    return { group, clientShare: share.keyExchange }
  }
  const retry = ours.find((group) => groups.includes(group.code))
  return { group: retry ?? refuse('ERR_TLS_HANDSHAKE_FAILURE', 'no group in common'), clientShare: undefined }
}

/**
 * The first credential with a scheme that the client takes; a delegated credential in its place if there is one for the
 * client.
 *
 * @throws {TlsError} ERR_TLS_MISSING_EXTENSION, ERR_TLS_HANDSHAKE_FAILURE
 */
export function selectAuthentication(
  hello: ClientHello,
  credentials: readonly Credential[],
  context: ServerContext,
): Authentication {
  const offered = hello.signatureAlgorithms ?? refuse('ERR_TLS_MISSING_EXTENSION', 'signature_algorithms')
  for (const credential of credentials) {
    const delegated = selectDelegatedCredential(hello, offered, credential, context)
    if (delegated !== undefined) {
      const { scheme, certificateMessages } = delegated
      return { credential, scheme, certificateMessages, delegated }
    }
    const scheme = credential.schemes.find((name) => offered.includes(SIGNATURE_SCHEMES[name].code))
    if (scheme !== undefined) {
      return { credential, scheme, certificateMessages: credential.certificateMessages, delegated }
    }
  }
  return refuse('ERR_TLS_HANDSHAKE_FAILURE', 'no signature scheme in common with a certificate of this name')
}

/**
 * RFC 9345 §4.1.1: `delegated_credential` lists what a delegated key may sign with, signature_algorithms what the
 * certificate's key may have signed it with.
 */
function selectDelegatedCredential(
  { delegatedCredentialSchemes: accepted }: ClientHello,
  offered: readonly number[],
  credential: Credential,
  { delegatedCredentials, clock }: ServerContext,
): DelegatedCredential | undefined {
  if (accepted === undefined || delegatedCredentials === undefined) return undefined
  const now = clock()
  return delegatedCredentials
    .current(credential)
    .find(
      (delegated) =>
        accepted.includes(SIGNATURE_SCHEMES[delegated.scheme].code) &&
        offered.includes(SIGNATURE_SCHEMES[delegated.algorithm].code) &&
        isServable(delegated, now),
    )
}

/** RFC 7301 §3.2, our order. A client without ALPN gets no ALPN: HTTP/1.1 by convention. */
export function selectAlpnProtocol(hello: ClientHello, ours: readonly string[]): string | undefined {
  const offered = hello.alpnProtocols
  if (offered === undefined || ours.length === 0) return undefined
  return (
    ours.find((name) => offered.includes(name)) ??
    refuse('ERR_TLS_NO_APPLICATION_PROTOCOL', offered.map(printable).join(', '))
  )
}

/** A peer's bytes in an error: nothing but printable ASCII. */
function printable(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]/g, '?')
}

// What is chosen from a ClientHello for TLS 1.2: pure, nothing asymmetric. RFC 5246 §7.4.1, RFC 8422 §5.1.
import type { Credential } from '../credential/credential.ts'
import type { EphemeralKey } from '../crypto-provider.ts'
import { refuse } from '../errors.ts'
import type { ClientHello } from '../handshake/client-hello.ts'
import type { NamedGroup } from '../handshake/named-group.ts'
import { selectSuite } from '../handshake/negotiate.ts'
import { SIGNATURE_SCHEMES, type SignatureSchemeName } from '../handshake/signature-scheme.ts'
import type { ServerContext } from '../server-context.ts'
import type { CipherSuite12 } from './cipher-suite12.ts'

/** A group in which our share can go first. */
export type NamedGroup12 = NamedGroup & { readonly generate: () => EphemeralKey }

/** What an ECDHE suite needs besides. */
export interface Ecdhe {
  readonly group: NamedGroup12
  readonly scheme: SignatureSchemeName
}

export interface Choice12 {
  readonly suite: CipherSuite12
  readonly credential: Credential
  /** undefined: RSA key exchange. */
  readonly ecdhe: Ecdhe | undefined
}

/**
 * What a full handshake is done with: the first certificate that the client can check, with a suite for its kind of key.
 *
 * @param credentials those that answer to the server name, in order of preference.
 * @throws {TlsError} ERR_TLS_HANDSHAKE_FAILURE
 */
export function negotiate12(
  hello: ClientHello,
  context: ServerContext,
  credentials: readonly Credential[],
): Choice12 {
  const group = selectGroup12(hello, context.groups)
  for (const credential of credentials) {
    const scheme = group && selectScheme12(hello, credential)
    const ecdhe = group && scheme && { group, scheme }
    const suite = selectSuite(
      hello,
      context.cipherSuites12.filter(
        ({ authentication, keyExchange }) =>
          authentication === credential.tls12.authentication &&
          (keyExchange === 'rsa' || ecdhe !== undefined),
      ),
    )
    if (suite !== undefined)
      return { suite, credential, ecdhe: suite.keyExchange === 'rsa' ? undefined : ecdhe }
  }
  return refuse(
    'ERR_TLS_HANDSHAKE_FAILURE',
    group === undefined
      ? 'no group in common'
      : 'no cipher suite and signature scheme in common with a certificate',
  )
}

/** A client that names no groups could be anything: RFC 8422 §4 lets us guess, and we do not. */
function selectGroup12(hello: ClientHello, ours: readonly NamedGroup[]): NamedGroup12 | undefined {
  return ours.find(
    (candidate): candidate is NamedGroup12 =>
      candidate.generate !== undefined && hello.supportedGroups?.includes(candidate.code) === true,
  )
}

/** What the key can sign with and the client can check; undefined also where it does not know the key's curve. */
function selectScheme12(hello: ClientHello, { tls12 }: Credential): SignatureSchemeName | undefined {
  if (tls12.curve !== undefined && hello.supportedGroups?.includes(tls12.curve) !== true) return undefined
  // RFC 5246 §7.4.1.4.1: without the extension the client means SHA-1, which RFC 9155 ended.
  const offered = hello.signatureAlgorithms ?? []
  return tls12.schemes.find((name) => offered.includes(SIGNATURE_SCHEMES[name].code))
}

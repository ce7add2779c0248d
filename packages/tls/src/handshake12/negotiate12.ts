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

export interface Choice12 {
  readonly suite: CipherSuite12
  readonly group: NamedGroup12
  readonly credential: Credential
  readonly scheme: SignatureSchemeName
}

/**
 * What a full handshake is done with.
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
  return { ...selectAuthentication12(hello, credentials, context.cipherSuites12), group }
}

/** A client that names no groups could be anything: RFC 8422 §4 lets us guess, and we do not. */
function selectGroup12(hello: ClientHello, ours: readonly NamedGroup[]): NamedGroup12 {
  const group = ours.find(
    (candidate): candidate is NamedGroup12 =>
      candidate.generate !== undefined && hello.supportedGroups?.includes(candidate.code) === true,
  )
  return group ?? refuse('ERR_TLS_HANDSHAKE_FAILURE', 'no group in common')
}

/** The first certificate the client can check, with a scheme and a suite for its kind of key. */
function selectAuthentication12(
  hello: ClientHello,
  credentials: readonly Credential[],
  ours: readonly CipherSuite12[],
): Pick<Choice12, 'credential' | 'scheme' | 'suite'> {
  // RFC 5246 §7.4.1.4.1: without the extension the client means SHA-1, which RFC 9155 ended.
  const offered = hello.signatureAlgorithms ?? []
  for (const credential of credentials) {
    const { authentication, schemes, curve } = credential.tls12
    const suite = selectSuite(
      hello,
      ours.filter((candidate) => candidate.authentication === authentication),
    )
    const scheme = schemes.find((name) => offered.includes(SIGNATURE_SCHEMES[name].code))
    const isCurveKnown = curve === undefined || hello.supportedGroups?.includes(curve) === true
    if (suite !== undefined && scheme !== undefined && isCurveKnown) return { credential, scheme, suite }
  }
  return refuse(
    'ERR_TLS_HANDSHAKE_FAILURE',
    'no cipher suite and signature scheme in common with a certificate',
  )
}

// Delegated credentials for tests: made as an issuer would, and taken as a client would. RFC 9345.
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { Reader } from '@latchkey/core'
import {
  type Credential,
  type DelegatedCredential,
  loadDelegatedCredential,
  SIGNATURE_SCHEMES,
  type SignatureSchemeName,
} from '@latchkey/tls'
import { ascii, concat, u16, u8, vector16, vector24 } from './bytes.ts'
import { signAs12, verifyAs } from './client-crypto.ts'
import type { Extension } from './client-hello.ts'
import { EXTENSION } from './code-points.ts'

export const p256Key = (): { publicKey: KeyObject; privateKey: KeyObject } =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** What one that is right can be made wrong with. */
export interface Delegation {
  readonly validTimeSeconds: number
  readonly scheme: SignatureSchemeName
  readonly algorithm: SignatureSchemeName
  readonly keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }
  /** The key that is loaded with it. */
  readonly ownKey: KeyObject
  readonly spki: Uint8Array
  readonly change: (encoded: Uint8Array) => Uint8Array
}

interface Site {
  readonly credential: Credential
  readonly privateKey: KeyObject
}

/** Good for a day from the certificate's start, and right but for what `wrong` says. */
export function delegate(site: Site, wrong: Partial<Delegation> = {}): DelegatedCredential {
  const { keys = p256Key(), ownKey = keys.privateKey } = wrong
  const encoded = encodeDelegated(site, { ...wrong, keys })
  return loadDelegatedCredential({ credential: site.credential, encoded, privateKey: ownKey })
}

/** DelegatedCredential as it goes over the wire. */
export function encodeDelegated(
  { credential, privateKey }: Site,
  wrong: Partial<Delegation> & Pick<Delegation, 'keys'>,
): Uint8Array {
  const { scheme = 'ecdsa_secp256r1_sha256', keys, change = (encoded) => encoded } = wrong
  const { algorithm = credential.schemes[0] ?? 'ed25519', validTimeSeconds = 86_400 } = wrong
  const spki = wrong.spki ?? keys.publicKey.export({ format: 'der', type: 'spki' })
  const validTime = concat(u16(validTimeSeconds >>> 16), u16(validTimeSeconds & 0xffff))
  const cred = concat(validTime, u16(SIGNATURE_SCHEMES[scheme].code), vector24(spki))
  const { code } = SIGNATURE_SCHEMES[algorithm]
  const signature = signAs12(code, privateKey, signedContent(credential.chain[0] as Uint8Array, cred, code))
  return change(concat(cred, u16(code), vector16(signature)))
}

function signedContent(leaf: Uint8Array, cred: Uint8Array, algorithm: number): Uint8Array {
  const context = ascii('TLS, server delegated credentials')
  return concat(new Uint8Array(64).fill(0x20), context, u8(0), leaf, cred, u16(algorithm))
}

/** The extension by which a client accepts them. */
export function acceptsDelegated(...schemes: readonly number[]): Extension {
  return { type: EXTENSION.delegated_credential, body: vector16(...schemes.map(u16)) }
}

/** The OBJECT IDENTIFIER 1.3.6.1.4.1.44363.44. */
const DELEGATION_USAGE = Buffer.from('06092b0601040182da4b2c', 'hex')
const WEEK_SECONDS = 7 * 86_400

/**
 * The steps of RFC 9345 §4.1.3 for a client.
 *
 * @returns the key that signs CertificateVerify.
 * @throws where a client would hang up.
 */
export function takeDelegatedCredential(
  body: Uint8Array,
  leaf: Uint8Array,
  client: {
    readonly accepted: Uint8Array | undefined
    readonly offered: readonly number[]
    readonly scheme: number
  },
): KeyObject {
  if (client.accepted === undefined) throw new Error('a delegated credential that was not asked for')
  const reader = new Reader(body)
  const validTime = reader.u32()
  const dcCertVerifyAlgorithm = reader.u16()
  const spki = reader.opaque24()
  const cred = body.subarray(0, reader.offset)
  const algorithm = reader.u16()
  const signature = reader.opaque16()
  reader.end()
  const certificate = new X509Certificate(leaf)
  const leftSeconds = Date.parse(certificate.validFrom) / 1000 + validTime - Date.now() / 1000
  if (leftSeconds < 0 || leftSeconds > WEEK_SECONDS) throw new Error(`valid for another ${leftSeconds} s`)
  if (!codesOf(client.accepted).includes(dcCertVerifyAlgorithm)) throw new Error('dc_cert_verify_algorithm')
  if (dcCertVerifyAlgorithm !== client.scheme) throw new Error('CertificateVerify with another algorithm')
  if (!client.offered.includes(algorithm)) throw new Error('signed with an algorithm that was not offered')
  if (!certificate.raw.includes(DELEGATION_USAGE)) throw new Error('a certificate that is not for delegation')
  const content = signedContent(leaf, cred, algorithm)
  if (!verifyAs(algorithm, certificate.publicKey, content, signature))
    throw new Error('the delegation is forged')
  return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
}

function codesOf(extension: Uint8Array): number[] {
  const list = new Reader(extension).vector16()
  const codes: number[] = []
  while (list.left > 0) codes.push(list.u16())
  return codes
}

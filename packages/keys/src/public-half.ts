// What kind of key this is, from its SubjectPublicKeyInfo alone: ten thousand KeyObjects would take a second to make and
// thirty megabytes to keep.
import { DER_TAG, Reader, readInside, readOid } from '@latchkey/core'
import { rsaModulus } from './ski.ts'

/** `curve` as OpenSSL names it. */
export type PublicHalf =
  | { readonly kind: 'rsa'; readonly bits: number }
  | { readonly kind: 'ec'; readonly curve: string }
  | { readonly kind: 'ed25519' }
  | { readonly kind: 'other' }

/** RFC 8017 §A.1, RFC 5480 §2.1.1, RFC 8410 §3. */
const RSA_ENCRYPTION = '1.2.840.113549.1.1.1'
const EC_PUBLIC_KEY = '1.2.840.10045.2.1'
const ED25519 = '1.3.101.112'
/** RFC 5480 §2.1.1.1. */
const CURVES: ReadonlyMap<string, string> = new Map([
  ['1.3.132.0.33', 'secp224r1'],
  ['1.2.840.10045.3.1.7', 'prime256v1'],
  ['1.3.132.0.34', 'secp384r1'],
  ['1.3.132.0.35', 'secp521r1'],
])

/** @param spki as OpenSSL writes it. */
export function readPublicHalf(spki: Uint8Array): PublicHalf {
  const algorithm = readInside(readInside(new Reader(spki), DER_TAG.sequence), DER_TAG.sequence)
  switch (readOid(algorithm)) {
    case RSA_ENCRYPTION:
      return { kind: 'rsa', bits: bitLength(rsaModulus(spki)) }
    case EC_PUBLIC_KEY: {
      const curve = CURVES.get(readOid(algorithm))
      return curve === undefined ? { kind: 'other' } : { kind: 'ec', curve }
    }
    case ED25519:
      return { kind: 'ed25519' }
    default:
      return { kind: 'other' }
  }
}

/** Of an integer without leading zero bytes. */
function bitLength(integer: Uint8Array): number {
  return integer.length === 0 ? 0 : 8 * integer.length - Math.clz32(integer[0] as number) + 24
}

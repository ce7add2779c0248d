// What a private key looks like in memory: its secret numbers, in both byte orders.
import type { KeyObject } from 'node:crypto'

/** The members of a JWK that are secret, RFC 7517 and RFC 8037: any one of RSA's gives away the key. */
const SECRET_MEMBERS = ['d', 'p', 'q'] as const

/**
 * The secret numbers of `privateKey`, big-endian as files and DER have them, and little-endian as OpenSSL keeps big
 * numbers on x86 and Arm. Overwrite them (`fill(0)`) after use.
 */
export function privateKeyNeedles(privateKey: KeyObject): Uint8Array[] {
  const jwk = privateKey.export({ format: 'jwk' })
  const needles: Uint8Array[] = []
  for (const member of SECRET_MEMBERS) {
    const value = jwk[member]
    if (value === undefined) continue
    // Leading zeros are written in some forms and not in others.
    const bytes = Buffer.from(value, 'base64url')
    const number = bytes.subarray(bytes.findIndex((byte) => byte !== 0))
    needles.push(Uint8Array.from(number), Uint8Array.from(number).toReversed())
  }
  return needles
}

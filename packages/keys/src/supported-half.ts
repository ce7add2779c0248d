// Which public halves can be served: the protocol has no operation for others, and short RSA keys are not safe.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { KeysError } from './errors.ts'
import { type PublicHalf, readPublicHalf } from './public-half.ts'

export type SupportedHalf = Exclude<PublicHalf, { readonly kind: 'other' }>

/** NIST SP 800-131A: less is not acceptable for signatures since 2014. */
const MIN_RSA_BITS = 2048
/** Go's and other TLS clients refuse more, and one signature of more would hold the event loop for tens of ms. */
const MAX_RSA_BITS = 8192
/** Less does not hold one SHA-256 PKCS#1 signature, whatever the operator allows. */
const ABSOLUTE_MIN_RSA_BITS = 512

/**
 * @param spki SubjectPublicKeyInfo in DER.
 * @param source where the key is, for the error.
 * @throws {KeysError} ERR_KEYS_UNSUPPORTED, ERR_KEYS_WEAK
 */
export function supportedHalf(spki: Uint8Array, source: string, allowWeakRsa: boolean): SupportedHalf {
  const half = readPublicHalf(spki)
  if (half.kind === 'other') throw unsupported(source, ...describeOther(spki))
  if (half.kind !== 'rsa') return half
  const { bits } = half
  if (bits > MAX_RSA_BITS || bits < ABSOLUTE_MIN_RSA_BITS) {
    const hint = `${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits can be used`
    throw unsupported(source, `an RSA key of ${bits} bits`, hint)
  }
  if (bits < MIN_RSA_BITS && !allowWeakRsa) {
    throw new KeysError('ERR_KEYS_WEAK', {
      path: source,
      found: `an RSA key of ${bits} bits`,
      expected: `at least ${MIN_RSA_BITS}`,
      hint: 'replace the key; allowWeakRsa loads it all the same',
    })
  }
  return half
}

function unsupported(source: string, found: string, hint?: string): KeysError {
  const expected = 'RSA, EC P-224/P-256/P-384/P-521 or Ed25519'
  return new KeysError('ERR_KEYS_UNSUPPORTED', { path: source, found, expected, hint })
}

/** What Node calls it, and what would help. */
function describeOther(spki: Uint8Array): [found: string, hint?: string] {
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch {
    return ['a kind of key that Node does not know']
  }
  const { asymmetricKeyType, asymmetricKeyDetails } = key
  if (asymmetricKeyType === 'ec')
    return [`an EC key on ${asymmetricKeyDetails?.namedCurve ?? 'an unnamed curve'}`]
  return asymmetricKeyType === 'rsa-pss'
    ? [
        'an RSA key restricted to PSS (id-RSASSA-PSS)',
        'a plain RSA key signs PSS too; the certificate must then say rsaEncryption',
      ]
    : [`a key of type ${asymmetricKeyType ?? 'unknown'}`]
}

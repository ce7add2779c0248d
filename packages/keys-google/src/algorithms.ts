// What a key version of Cloud KMS signs: the algorithm is fixed when it is made, its hash and padding with it.
// https://cloud.google.com/kms/docs/algorithms
import type { SignatureAlgorithm } from '@latchkey/keys'

export interface GoogleSigning {
  readonly algorithms: readonly SignatureAlgorithm[]
  /** The member of the request: `data` is signed as it is, by Ed25519 or as the DigestInfo of PKCS#1. */
  readonly input: 'sha256' | 'sha384' | 'sha512' | 'data'
  /** Digests are cut or filled to the length of the order: bytes. */
  readonly orderBytes?: number
  readonly isDigestInfo?: boolean
}

/** A digest of any hash is a number below the order, once it is as long: FIPS 186-5 §6.4.1. */
const ECDSA = ['ecdsa_sha1', 'ecdsa_sha224', 'ecdsa_sha256', 'ecdsa_sha384', 'ecdsa_sha512'] as const
const PKCS1 = ['rsa_pkcs1_sha256', 'rsa_pkcs1_sha384', 'rsa_pkcs1_sha512'] as const

/** @param algorithm `CryptoKeyVersion.algorithm`. @returns undefined: not one for TLS. */
export function signingOf(algorithm: string): GoogleSigning | undefined {
  if (algorithm === 'EC_SIGN_P256_SHA256') return { algorithms: ECDSA, input: 'sha256', orderBytes: 32 }
  if (algorithm === 'EC_SIGN_P384_SHA384') return { algorithms: ECDSA, input: 'sha384', orderBytes: 48 }
  if (algorithm === 'EC_SIGN_ED25519') return { algorithms: ['ed25519'], input: 'data' }
  const [, kind, bits] = /^RSA_SIGN_(PKCS1|PSS)_\d+_SHA(256|512)$/.exec(algorithm) ?? []
  if (kind !== undefined) {
    const name = kind === 'PSS' ? 'rsa_pss' : 'rsa_pkcs1'
    return bits === '512'
      ? { algorithms: [`${name}_sha512`], input: 'sha512' }
      : { algorithms: [`${name}_sha256`], input: 'sha256' }
  }
  if (/^RSA_SIGN_RAW_PKCS1_\d+$/.test(algorithm)) {
    return { algorithms: PKCS1, input: 'data', isDigestInfo: true }
  }
  return undefined
}

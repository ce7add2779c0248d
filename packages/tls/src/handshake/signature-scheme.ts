// Signature schemes a server certificate may be used with. RFC 8446 §4.2.3.

/** One row a scheme: everything else about schemes is read from here. */
export const SIGNATURE_SCHEMES = {
  rsa_pkcs1_sha256: { code: 0x0401, keyType: 'rsa', hash: 'sha256', curve: undefined, tls13: false },
  rsa_pkcs1_sha384: { code: 0x0501, keyType: 'rsa', hash: 'sha384', curve: undefined, tls13: false },
  rsa_pkcs1_sha512: { code: 0x0601, keyType: 'rsa', hash: 'sha512', curve: undefined, tls13: false },
  ecdsa_secp256r1_sha256: { code: 0x0403, keyType: 'ec', hash: 'sha256', curve: 'prime256v1', tls13: true },
  ecdsa_secp384r1_sha384: { code: 0x0503, keyType: 'ec', hash: 'sha384', curve: 'secp384r1', tls13: true },
  ecdsa_secp521r1_sha512: { code: 0x0603, keyType: 'ec', hash: 'sha512', curve: 'secp521r1', tls13: true },
  rsa_pss_rsae_sha256: { code: 0x0804, keyType: 'rsa', hash: 'sha256', curve: undefined, tls13: true },
  rsa_pss_rsae_sha384: { code: 0x0805, keyType: 'rsa', hash: 'sha384', curve: undefined, tls13: true },
  rsa_pss_rsae_sha512: { code: 0x0806, keyType: 'rsa', hash: 'sha512', curve: undefined, tls13: true },
  ed25519: { code: 0x0807, keyType: 'ed25519', hash: undefined, curve: undefined, tls13: true },
} as const satisfies Record<string, SignatureSchemeRow>

interface SignatureSchemeRow {
  readonly code: number
  readonly keyType: 'rsa' | 'ec' | 'ed25519'
  /** undefined: the scheme takes the message itself. */
  readonly hash: 'sha256' | 'sha384' | 'sha512' | undefined
  /** The curve a TLS 1.3 ECDSA scheme is bound to, as `node:crypto` names it. */
  readonly curve: string | undefined
  /** Usable for CertificateVerify of TLS 1.3, where PKCS#1 v1.5 is not. */
  readonly tls13: boolean
}

/** Of a KeyObject, what tells which schemes it can do. */
interface KeyProperties {
  readonly asymmetricKeyType?: string | undefined
  readonly asymmetricKeyDetails?: { readonly modulusLength?: number } | undefined
}

const HASH_BYTES = { sha256: 32, sha384: 48, sha512: 64 } as const

/** Whether a key is of the scheme's kind, and long enough: EMSA-PSS has two hashes and two bytes in it, RFC 8017 §9.1.1. */
export function isSchemeOf(scheme: SignatureSchemeRow, key: KeyProperties): boolean {
  if (scheme.keyType !== key.asymmetricKeyType) return false
  const isPss = scheme.keyType === 'rsa' && scheme.tls13
  if (!isPss || scheme.hash === undefined) return true
  const encodedBytes = Math.ceil(((key.asymmetricKeyDetails?.modulusLength ?? 0) - 1) / 8)
  return encodedBytes >= 2 * HASH_BYTES[scheme.hash] + 2
}

export type SignatureSchemeName = keyof typeof SIGNATURE_SCHEMES
/** A TLS SignatureScheme code point. */
export type SignatureScheme = (typeof SIGNATURE_SCHEMES)[SignatureSchemeName]['code']

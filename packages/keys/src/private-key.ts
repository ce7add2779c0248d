// The seam between whoever has a digest to be signed and wherever the private key is.
import type { KeyObject } from 'node:crypto'

/**
 * Every private-key operation the Keyless protocol can name. `digestBytes` is the exact length of the input;
 * Ed25519 signs the message itself (undefined: any length). PSS salts are as long as the hash.
 */
export const SIGNATURE_ALGORITHMS = {
  rsa_pkcs1_md5_sha1: { keyType: 'rsa', hash: 'md5-sha1', digestBytes: 36 },
  rsa_pkcs1_sha1: { keyType: 'rsa', hash: 'sha1', digestBytes: 20 },
  rsa_pkcs1_sha224: { keyType: 'rsa', hash: 'sha224', digestBytes: 28 },
  rsa_pkcs1_sha256: { keyType: 'rsa', hash: 'sha256', digestBytes: 32 },
  rsa_pkcs1_sha384: { keyType: 'rsa', hash: 'sha384', digestBytes: 48 },
  rsa_pkcs1_sha512: { keyType: 'rsa', hash: 'sha512', digestBytes: 64 },
  rsa_pss_sha256: { keyType: 'rsa', hash: 'sha256', digestBytes: 32 },
  rsa_pss_sha384: { keyType: 'rsa', hash: 'sha384', digestBytes: 48 },
  rsa_pss_sha512: { keyType: 'rsa', hash: 'sha512', digestBytes: 64 },
  ecdsa_md5_sha1: { keyType: 'ec', hash: 'md5-sha1', digestBytes: 36 },
  ecdsa_sha1: { keyType: 'ec', hash: 'sha1', digestBytes: 20 },
  ecdsa_sha224: { keyType: 'ec', hash: 'sha224', digestBytes: 28 },
  ecdsa_sha256: { keyType: 'ec', hash: 'sha256', digestBytes: 32 },
  ecdsa_sha384: { keyType: 'ec', hash: 'sha384', digestBytes: 48 },
  ecdsa_sha512: { keyType: 'ec', hash: 'sha512', digestBytes: 64 },
  ed25519: { keyType: 'ed25519', hash: undefined, digestBytes: undefined },
} as const satisfies Record<
  string,
  { keyType: KeyType; hash: string | undefined; digestBytes: number | undefined }
>

export type KeyType = 'rsa' | 'ec' | 'ed25519'
export type SignatureAlgorithm = keyof typeof SIGNATURE_ALGORITHMS

/** An answer that may be there at once (native keys) or later (an HSM, a cloud): no promise where none is needed. */
export type MaybePromise<T> = T | Promise<T>

/**
 * One private key, wherever it is. Implementations may be asked again while an answer is outstanding; answers may
 * come in any order. No method returns or logs private material.
 */
export interface PrivateKey {
  /** SubjectKeyIdentifier, 20 bytes: see {@link subjectKeyIdentifier}. */
  readonly ski: Uint8Array
  readonly keyType: KeyType
  /** The public half. */
  readonly publicKey: KeyObject
  /** What this key can do; asking for anything else is ERR_KEYS_ALGORITHM. */
  readonly algorithms: ReadonlySet<SignatureAlgorithm>
  /** Where it came from, for an operator: a path or a URI without its secrets. */
  readonly source: string

  /**
   * Signs `input`: a digest of exactly `digestBytes`, or for Ed25519 the message.
   *
   * @returns the signature as TLS carries it: DER for ECDSA, k bytes for RSA, 64 bytes for Ed25519.
   * @throws {KeysError} ERR_KEYS_ALGORITHM, ERR_KEYS_DIGEST_LENGTH, ERR_KEYS_CRYPTO; also as a rejection.
   */
  sign(
    algorithm: SignatureAlgorithm,
    input: Uint8Array,
    options?: { signal?: AbortSignal },
  ): MaybePromise<Uint8Array>

  /**
   * Raw RSA: m = c^d mod n as exactly k bytes, big-endian, padding still in place, in constant time. Absent where
   * the key is not RSA or its home cannot do it.
   *
   * @returns memory that nobody else has: the caller wipes it.
   * @throws {KeysError} ERR_KEYS_CRYPTO if the ciphertext is larger than the modulus.
   */
  decryptRaw?(ciphertext: Uint8Array, options?: { signal?: AbortSignal }): MaybePromise<Uint8Array>

  /**
   * What `sign` and `decryptRaw` do, on another thread of this process. There where one operation takes long enough for
   * that to be worth it: RSA and the larger curves. How many run at a time is the caller's to bound.
   */
  readonly background?: BackgroundOperations
}

export interface BackgroundOperations {
  /** Like {@link PrivateKey.sign}; `input` is copied. */
  sign(algorithm: SignatureAlgorithm, input: Uint8Array): Promise<Uint8Array>
  /** Like {@link PrivateKey.decryptRaw}; `ciphertext` is copied. */
  decryptRaw?(ciphertext: Uint8Array): Promise<Uint8Array>
}

/** Finds private keys by SKI. Disposing it frees its keys; a key must not be used after. */
export interface KeyStore extends AsyncDisposable {
  /** The key with this SKI, or undefined: "not there" is an answer, not an error. */
  find(ski: Uint8Array): MaybePromise<PrivateKey | undefined>
  /** Every key that can be listed, in no order. */
  list(): Iterable<PrivateKey>
}

// The seam between the handshake and whoever holds the private key.
import type { SignatureScheme } from '../handshake/signature-scheme.ts'

/** What TLS is about to have signed. RFC 8446 §4.4.3 for `tls13-server-cv`. */
export type SignaturePurpose = 'tls13-server-cv' | 'tls12-ske' | 'delegated-credential'

export interface SignRequest {
  /** SHA-256 of the certificate's SubjectPublicKeyInfo, 32 bytes. */
  readonly keyId: Uint8Array
  /** TLS code point, RFC 8446 §4.2.3. */
  readonly scheme: SignatureScheme
  /** The exact bytes TLS says are signed, never a digest: who needs a digest hashes. */
  readonly content: Uint8Array
  readonly purpose: SignaturePurpose
  /** The name the client asked for; empty if it asked for none. */
  readonly serverName: string
  readonly clientAddress: string | undefined
  /** Milliseconds of the wall clock after which the answer is of no use. */
  readonly deadlineMs: number
}

/** A premaster secret to decrypt: RSA key exchange of TLS 1.2, RFC 5246 §7.4.7.1. */
export interface DecryptRequest {
  /** SHA-256 of the certificate's SubjectPublicKeyInfo, 32 bytes. */
  readonly keyId: Uint8Array
  /** As long as the key's modulus, and a smaller number. */
  readonly ciphertext: Uint8Array
  /** The version that the client offered, which the secret begins with. */
  readonly clientVersion: number
  /** The name the client asked for; empty if it asked for none. */
  readonly serverName: string
  readonly clientAddress: string | undefined
  /** Milliseconds of the wall clock after which the answer is of no use. */
  readonly deadlineMs: number
}

/** What a handshake asks the private key for. */
export type PrivateKeyOperation =
  | { readonly kind: 'sign'; readonly request: SignRequest }
  | { readonly kind: 'decrypt'; readonly request: DecryptRequest }

/**
 * Does the one private-key operation of a full handshake, wherever the key is.
 *
 * Called once a handshake, concurrently for any number of connections; retries and fail-over happen inside, within
 * `deadlineMs`. When `signal` aborts (the client went away, the deadline passed) the answer is not awaited any more.
 * A signer may answer without waiting: then the handshake goes on in the same turn.
 *
 */
export interface Signer {
  /** @returns the signature as TLS carries it: DER for ECDSA, k bytes for RSA, 64 bytes for Ed25519. */
  sign(request: SignRequest, signal: AbortSignal): Uint8Array | Promise<Uint8Array>

  /**
   * Only for servers that name RSA suites. It must not tell by its answer, its failure or its time whether the ciphertext
   * was padded well: `premasterOfBlock` does that for a key that decrypts without looking at the padding.
   *
   * @returns 48 bytes, always: the premaster secret, or random ones (implicit rejection). They belong to the caller now.
   */
  decryptPremaster?(request: DecryptRequest, signal: AbortSignal): Uint8Array | Promise<Uint8Array>
}

// Delegated credentials as they go over the wire: a key of short life, signed by a certificate's key. RFC 9345 §4.
import { DecodeError, Reader, Writer } from '@latchkey/core'
import { TlsError } from '../errors.ts'

/**
 * What the certificate's key vouches for.
 *
 *     struct {
 *         uint32 valid_time;
 *         SignatureScheme dc_cert_verify_algorithm;
 *         opaque ASN1_subjectPublicKeyInfo<1..2^24-1>;
 *     } Credential;
 */
export interface DelegatedKey {
  /** Seconds from the certificate's notBefore to the end. */
  readonly validTimeSeconds: number
  /** TLS code point: what CertificateVerify is signed with, and nothing else. */
  readonly dcCertVerifyAlgorithm: number
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array
}

/** The bytes of a Credential. The caller owns them. */
export function writeDelegatedKey({
  validTimeSeconds,
  dcCertVerifyAlgorithm,
  spki,
}: DelegatedKey): Uint8Array {
  return new Writer(spki.length + 9).u32(validTimeSeconds).u16(dcCertVerifyAlgorithm).opaque24(spki).finish()
}

/** Parts of a DelegatedCredential; byte fields are views. */
export interface DelegatedCredentialFields {
  readonly key: DelegatedKey
  /** The bytes of `cred`: what was signed. */
  readonly cred: Uint8Array
  /** TLS code point: what the certificate's key signed with. */
  readonly algorithm: number
  readonly signature: Uint8Array
}

/**
 * The body of the extension in a CertificateEntry.
 *
 *     struct {
 *         Credential cred;
 *         SignatureScheme algorithm;
 *         opaque signature<1..2^16-1>;
 *     } DelegatedCredential;
 */
export function writeDelegatedCredential(
  cred: Uint8Array,
  algorithm: number,
  signature: Uint8Array,
): Uint8Array {
  return new Writer(cred.length + signature.length + 4)
    .opaque(cred)
    .u16(algorithm)
    .opaque16(signature)
    .finish()
}

/** Every DelegatedCredential we read comes from an operator: @throws {TlsError} ERR_TLS_CREDENTIAL. */
export function readDelegatedCredential(bytes: Uint8Array): DelegatedCredentialFields {
  try {
    const reader = new Reader(bytes)
    const key: DelegatedKey = {
      validTimeSeconds: reader.u32(),
      dcCertVerifyAlgorithm: reader.u16(),
      spki: reader.opaque24(),
    }
    const cred = bytes.subarray(0, reader.offset)
    const algorithm = reader.u16()
    const signature = reader.opaque16()
    reader.end()
    return { key, cred, algorithm, signature }
  } catch (cause) {
    if (cause instanceof DecodeError)
      throw new TlsError('ERR_TLS_CREDENTIAL', { detail: `delegated credential: ${cause.message}`, cause })
    throw cause
  }
}

const CONTEXT = new TextEncoder().encode(`${' '.repeat(64)}TLS, server delegated credentials\0`)

/**
 * What the certificate's key signs: 64 spaces, the context string, a zero, the certificate, `cred`, `algorithm`.
 *
 * @param leaf the certificate, DER.
 * @see RFC 9345 §4
 */
export function delegatedCredentialContent(
  leaf: Uint8Array,
  cred: Uint8Array,
  algorithm: number,
): Uint8Array {
  return new Writer(CONTEXT.length + leaf.length + cred.length + 2)
    .opaque(CONTEXT)
    .opaque(leaf)
    .opaque(cred)
    .u16(algorithm)
    .finish()
}

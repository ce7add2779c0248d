// The name of a key: what the Keyless protocol looks keys up by.
import { hash, type KeyObject } from 'node:crypto'
import { DecodeError, DER_TAG, Reader, readInside, subjectPublicKey } from '@latchkey/core'
import { KeysError } from './errors.ts'

/** Bytes of a SubjectKeyIdentifier: a SHA-1. */
export const SKI_BYTES = 20

/**
 * SubjectKeyIdentifier by RFC 5280 §4.2.1.2 method 1: SHA-1 over the contents of the subjectPublicKey BIT STRING,
 * without tag, length and unused-bits byte. It names a key, it protects nothing, so SHA-1 is good enough.
 *
 * @param publicKey a key, or its SubjectPublicKeyInfo in DER.
 * @returns 20 bytes of the caller's own.
 * @throws {KeysError} ERR_KEYS_PUBLIC_KEY if the bytes are no SubjectPublicKeyInfo.
 * @example Buffer.from(subjectKeyIdentifier(certificate.publicKey)).toString('hex')
 */
export function subjectKeyIdentifier(publicKey: KeyObject | Uint8Array): Uint8Array {
  return sha(
    1,
    decode(() => subjectPublicKey(spkiOf(publicKey))),
  )
}

/**
 * The older name of an RSA key: SHA-256 over the modulus written in upper-case hexadecimal, no leading zeros.
 *
 * @returns 32 bytes.
 * @throws {KeysError} ERR_KEYS_PUBLIC_KEY if this is not an RSA public key.
 */
export function modulusDigest(publicKey: KeyObject | Uint8Array): Uint8Array {
  const hex = Buffer.from(rsaModulus(publicKey)).toString('hex').toUpperCase().replace(/^0/, '')
  return sha(256, Buffer.from(hex, 'ascii'))
}

/**
 * The modulus of an RSA key, big-endian, without leading zero bytes.
 *
 * @throws {KeysError} ERR_KEYS_PUBLIC_KEY if this is not an RSA public key.
 */
export function rsaModulus(publicKey: KeyObject | Uint8Array): Uint8Array {
  // RFC 8017 §A.1.1: RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }
  return decode(() => {
    const outer = new Reader(subjectPublicKey(spkiOf(publicKey)))
    const fields = readInside(outer, DER_TAG.sequence)
    outer.end()
    const modulus = withoutLeadingZeros(readInside(fields, DER_TAG.integer).rest())
    readInside(fields, DER_TAG.integer)
    fields.end()
    return modulus
  })
}

/** `bytes` from the first non-zero byte on, as a view. For public values only: the time it takes tells the length. */
export function withoutLeadingZeros(bytes: Uint8Array): Uint8Array {
  let at = 0
  while (bytes[at] === 0) at++
  return bytes.subarray(at)
}

function spkiOf(publicKey: KeyObject | Uint8Array): Uint8Array {
  return publicKey instanceof Uint8Array ? publicKey : publicKey.export({ type: 'spki', format: 'der' })
}

function decode<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof DecodeError) {
      throw new KeysError('ERR_KEYS_PUBLIC_KEY', { detail: cause.message, cause })
    }
    throw cause
  }
}

/** A plain Uint8Array: it stays what it is, whatever node:crypto returns. */
function sha(size: 1 | 256, bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hash(`sha${size}`, bytes, 'buffer'))
}

// The name under which key servers know a key, from the public half that the edge has.
import { createHash } from 'node:crypto'
import { Reader } from '@latchkey/core'

const SEQUENCE = 0x30
const BIT_STRING = 0x03

/**
 * SubjectKeyIdentifier by RFC 5280 §4.2.1.2 method 1: SHA-1 over the contents of the subjectPublicKey BIT STRING. It is
 * computed, not read from the certificate: a CA may have put anything there.
 *
 * @param spki SubjectPublicKeyInfo, DER.
 * @returns 20 bytes.
 * @throws {DecodeError} ERR_DECODE_TRUNCATED if `spki` is cut off.
 */
export function subjectKeyIdentifier(spki: Uint8Array): Uint8Array {
  // RFC 5280 §4.1: SEQUENCE { algorithm SEQUENCE, subjectPublicKey BIT STRING }
  const fields = element(new Reader(spki), SEQUENCE)
  element(fields, SEQUENCE)
  const bits = element(fields, BIT_STRING)
  bits.u8() // unused bits: none in a key
  return new Uint8Array(createHash('sha1').update(bits.rest()).digest())
}

/** The contents of the next DER element. `node:crypto` made the bytes, so a wrong tag is a bug, not bad input. */
function element(reader: Reader, tag: number): Reader {
  if (reader.u8() !== tag) throw new TypeError('not a SubjectPublicKeyInfo')
  const first = reader.u8()
  if (first < 0x80) return new Reader(reader.opaque(first))
  let length = 0
  for (let left = first & 0x7f; left > 0; left--) length = length * 256 + reader.u8()
  return new Reader(reader.opaque(length))
}

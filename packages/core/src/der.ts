// As much DER (X.690) as it takes to find a field in a key or a certificate: definite lengths, one-byte tags.
import { DecodeError, Reader } from './reader.ts'

export const DER_TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
} as const

export interface DerElement {
  readonly tag: number
  /** The contents, as a view. */
  readonly contents: Uint8Array
}

/**
 * The next element. A length is read as X.690 §8.1.3 writes it; more than three bytes of length is more than any key or
 * certificate may hold.
 *
 * @throws {DecodeError} ERR_DECODE_TRUNCATED, ERR_DECODE_UNEXPECTED
 */
export function readDerElement(reader: Reader): DerElement {
  const tag = reader.u8()
  return { tag, contents: reader.opaque(readLength(reader)) }
}

/** A reader over the contents of the next element, which must have `tag`. */
export function readInside(reader: Reader, tag: number): Reader {
  const element = readDerElement(reader)
  if (element.tag !== tag)
    throw new DecodeError('ERR_DECODE_UNEXPECTED', { detail: `tag ${element.tag} where ${tag} should be` })
  return new Reader(element.contents)
}

/** The next element, an OBJECT IDENTIFIER, in dotted form. X.690 §8.19; arcs here are small. */
export function readOid(reader: Reader): string {
  const arcs: number[] = []
  let arc = 0
  for (const byte of readInside(reader, DER_TAG.oid).rest()) {
    arc = arc * 128 + (byte & 0x7f)
    if (byte >= 0x80) continue
    if (arcs.length === 0)
      arcs.push(Math.min(2, Math.floor(arc / 40)), arc - 40 * Math.min(2, Math.floor(arc / 40)))
    else arcs.push(arc)
    arc = 0
  }
  return arcs.join('.')
}

/**
 * The contents of the BIT STRING of a SubjectPublicKeyInfo, as a view:
 *
 *     SubjectPublicKeyInfo ::= SEQUENCE { algorithm SEQUENCE, subjectPublicKey BIT STRING }      RFC 5280 §4.1
 *
 * @throws {DecodeError} if `spki` is none.
 */
export function subjectPublicKey(spki: Uint8Array): Uint8Array {
  const outer = new Reader(spki)
  const fields = readInside(outer, DER_TAG.sequence)
  outer.end()
  readInside(fields, DER_TAG.sequence)
  const bits = readInside(fields, DER_TAG.bitString)
  fields.end()
  // A BIT STRING begins with the number of unused bits: none in a key.
  if (bits.u8() !== 0)
    throw new DecodeError('ERR_DECODE_UNEXPECTED', { detail: 'not a whole number of bytes' })
  return bits.rest()
}

function readLength(reader: Reader): number {
  const first = reader.u8()
  if (first < 0x80) return first
  if (first === 0x81) return reader.u8()
  if (first === 0x82) return reader.u16()
  if (first === 0x83) return reader.u24()
  throw new DecodeError('ERR_DECODE_UNEXPECTED', { detail: `length form ${first}` })
}

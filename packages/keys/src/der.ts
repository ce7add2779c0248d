// As much DER (X.690) as it takes to find a field in a key: definite lengths, one-byte tags.
import { DecodeError, Reader } from '@latchkey/core'

export const TAG = {
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  sequence: 0x30,
} as const

export interface Element {
  readonly tag: number
  /** The contents, as a view. */
  readonly contents: Uint8Array
}

/**
 * The next element. A length is read as X.690 §8.1.3 writes it; more than three bytes of length is more than any
 * key file may hold.
 *
 * @throws {DecodeError} ERR_DECODE_TRUNCATED
 */
export function readElement(reader: Reader): Element {
  const tag = reader.u8()
  return { tag, contents: reader.opaque(readLength(reader)) }
}

/** A reader over the contents of the next element, which must have `tag`. */
export function readInside(reader: Reader, tag: number): Reader {
  const element = readElement(reader)
  if (element.tag !== tag) {
    throw new DecodeError('ERR_DECODE_TRUNCATED', { detail: `tag ${element.tag} where ${tag} should be` })
  }
  return new Reader(element.contents)
}

function readLength(reader: Reader): number {
  const first = reader.u8()
  if (first < 0x80) return first
  if (first === 0x81) return reader.u8()
  if (first === 0x82) return reader.u16()
  if (first === 0x83) return reader.u24()
  throw new DecodeError('ERR_DECODE_TRUNCATED', { detail: `length form ${first}` })
}

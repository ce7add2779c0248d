// Builds bytes front to back; a length in front of a vector is reserved and patched.

import { allocate } from './allocate.ts'

/** Largest value that fits into a length of one, two or three bytes. */
const LENGTH_LIMIT = { 1: 0xff, 2: 0xffff, 3: 0xffffff } as const

/**
 * Writes big-endian integers and opaque fields into one growing buffer.
 *
 * @throws {RangeError} if a value does not fit its field: that is a bug of the caller, not bad input.
 */
export class Writer {
  #bytes: Uint8Array
  #at = 0

  /** @param capacity bytes to start with; the buffer doubles when it is full. */
  constructor(capacity = 256) {
    this.#bytes = allocate(capacity)
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at
  }

  u8(value: number): this {
    fits(value, 0xff)
    const at = this.#claim(1)
    this.#bytes[at] = value
    return this
  }

  u16(value: number): this {
    fits(value, 0xffff)
    const at = this.#claim(2)
    this.#bytes[at] = value >>> 8
    this.#bytes[at + 1] = value
    return this
  }

  u24(value: number): this {
    fits(value, 0xffffff)
    const at = this.#claim(3)
    this.#bytes[at] = value >>> 16
    this.#bytes[at + 1] = value >>> 8
    this.#bytes[at + 2] = value
    return this
  }

  u32(value: number): this {
    fits(value, 0xffffffff)
    const at = this.#claim(4)
    this.#bytes[at] = value >>> 24
    this.#bytes[at + 1] = value >>> 16
    this.#bytes[at + 2] = value >>> 8
    this.#bytes[at + 3] = value
    return this
  }

  /** Appends a copy of `bytes`. */
  opaque(bytes: Uint8Array): this {
    const at = this.#claim(bytes.length)
    this.#bytes.set(bytes, at)
    return this
  }

  opaque8(bytes: Uint8Array): this {
    return this.u8(bytes.length).opaque(bytes)
  }

  opaque16(bytes: Uint8Array): this {
    return this.u16(bytes.length).opaque(bytes)
  }

  opaque24(bytes: Uint8Array): this {
    return this.u24(bytes.length).opaque(bytes)
  }

  /** Appends `count` zero bytes. */
  zeros(count: number): this {
    const at = this.#claim(count)
    this.#bytes.fill(0, at, at + count)
    return this
  }

  /** Whatever `body` writes, behind a length of one byte. */
  vector8(body: (writer: this) => void): this {
    return this.#vector(1, body)
  }

  /** Whatever `body` writes, behind a length of two bytes. */
  vector16(body: (writer: this) => void): this {
    return this.#vector(2, body)
  }

  /** Whatever `body` writes, behind a length of three bytes. */
  vector24(body: (writer: this) => void): this {
    return this.#vector(3, body)
  }

  /** What was written, as a view; the writer must not be used after. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  #vector(width: 1 | 2 | 3, body: (writer: this) => void): this {
    const at = this.#claim(width)
    body(this)
    const length = this.#at - at - width
    fits(length, LENGTH_LIMIT[width])
    for (let index = 0; index < width; index++) {
      this.#bytes[at + index] = length >>> (8 * (width - 1 - index))
    }
    return this
  }

  #claim(length: number): number {
    const at = this.#at
    const end = at + length
    if (end > this.#bytes.length) {
      const grown = allocate(Math.max(end, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, at))
      this.#bytes = grown
    }
    this.#at = end
    return at
  }
}

function fits(value: number, limit: number): void {
  if (!Number.isInteger(value) || value < 0 || value > limit) {
    throw new RangeError(`${value} does not fit into a field of 0..${limit}`)
  }
}

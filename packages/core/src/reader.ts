// A cursor over bytes from a peer. The one place where bounds are checked.
import { CodedError, type ErrorDetail } from './errors.ts'

export const DECODE_ERRORS = {
  ERR_DECODE_TRUNCATED: 'a field runs past the end of its bytes',
  ERR_DECODE_TRAILING_DATA: 'bytes are left after the last field',
  ERR_DECODE_UNEXPECTED: 'a field is not of the kind it should be',
} as const satisfies Record<string, string>
export type DecodeErrorCode = keyof typeof DECODE_ERRORS

/** Bytes that do not have the shape they should. Each package wraps it once, at its message boundary. */
export class DecodeError extends CodedError<DecodeErrorCode> {
  constructor(code: DecodeErrorCode, options?: ErrorDetail) {
    super(code, DECODE_ERRORS[code], options)
  }
}

/**
 * Reads big-endian integers and opaque fields from `bytes`, front to back.
 *
 * Opaque fields are views of the same memory: copy (`slice`) what outlives the step. Every reader ends with
 * {@link Reader.end}.
 *
 * @throws {DecodeError} ERR_DECODE_TRUNCATED from every read that would pass the end.
 */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #start: number
  readonly #end: number
  #at: number

  /** Of `bytes` from `start` to before `end`: a reader inside another costs no view. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#start = start
    this.#end = end
    this.#at = start
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#at - this.#start
  }

  /** Bytes not yet read. */
  get left(): number {
    return this.#end - this.#at
  }

  u8(): number {
    return this.#bytes[this.#claim(1)] as number
  }

  u16(): number {
    const at = this.#claim(2)
    const bytes = this.#bytes
    return ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
  }

  u24(): number {
    const at = this.#claim(3)
    const bytes = this.#bytes
    return ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)
  }

  u32(): number {
    const at = this.#claim(4)
    const bytes = this.#bytes
    return (
      (((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number)) >>>
      0
    )
  }

  /** The next `length` bytes, as a view. */
  opaque(length: number): Uint8Array {
    const at = this.#claim(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** A field with a one-byte length, as a view. */
  opaque8(): Uint8Array {
    return this.opaque(this.u8())
  }

  /** A field with a two-byte length, as a view. */
  opaque16(): Uint8Array {
    return this.opaque(this.u16())
  }

  /** A field with a three-byte length, as a view. */
  opaque24(): Uint8Array {
    return this.opaque(this.u24())
  }

  /** A reader over a field with a one-byte length. */
  vector8(): Reader {
    return this.#inside(this.u8())
  }

  /** A reader over a field with a two-byte length. */
  vector16(): Reader {
    return this.#inside(this.u16())
  }

  /** A reader over a field with a three-byte length. */
  vector24(): Reader {
    return this.#inside(this.u24())
  }

  /** Everything that is left, as a view. */
  rest(): Uint8Array {
    return this.opaque(this.left)
  }

  /** @throws {DecodeError} ERR_DECODE_TRAILING_DATA if bytes are left. */
  end(): void {
    if (this.left > 0)
      throw new DecodeError('ERR_DECODE_TRAILING_DATA', { detail: `${this.left} at offset ${this.offset}` })
  }

  #inside(length: number): Reader {
    const at = this.#claim(length)
    return new Reader(this.#bytes, at, at + length)
  }

  #claim(length: number): number {
    const at = this.#at
    if (length > this.left) {
      throw new DecodeError('ERR_DECODE_TRUNCATED', {
        detail: `${length} wanted at offset ${this.offset}, ${this.left} left`,
      })
    }
    this.#at = at + length
    return at
  }
}

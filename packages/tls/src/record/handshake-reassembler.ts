// Puts handshake messages together from record fragments. RFC 8446 §5.1.
import { refuse } from '../errors.ts'
import { HANDSHAKE_HEADER_BYTES, type HandshakeMessage } from '../handshake/handshake-type.ts'

/** The one message type a state takes, and how long its body may be: `isExact` where only one length is right. */
export interface ExpectedMessage {
  readonly type: number
  readonly maxBytes: number
  readonly isExact: boolean
  /** Whether the next message may begin in its record: not where keys change or it is our turn (RFC 8446 §5.1). */
  readonly isFollowed?: boolean
}

const NOTHING = new Uint8Array(0)

export class HandshakeReassembler {
  #fragment: Uint8Array = NOTHING
  #partial: Uint8Array | undefined
  #filled = 0

  /** Takes the content of one handshake record; call {@link next} until it returns undefined before the next push. */
  push(fragment: Uint8Array): void {
    this.#fragment = fragment
  }

  /** Keeps what is left of the fragment, whose bytes will be gone, until {@link next} is called again. */
  hold(): void {
    this.#fragment = new Uint8Array(this.#fragment)
  }

  /** True when no byte of a further message is held: only then may keys change. */
  get isEmpty(): boolean {
    return this.#partial === undefined && this.#fragment.length === 0
  }

  /**
   * The next whole message; undefined when more fragments are needed. A message is refused by its header, before
   * anything is kept of it.
   *
   * @throws {TlsError} ERR_TLS_UNEXPECTED_MESSAGE for another type, ERR_TLS_ILLEGAL_PARAMETER for one too long,
   * ERR_TLS_DECODE for another length than the only right one.
   */
  next(expected: ExpectedMessage | undefined): HandshakeMessage | undefined {
    const fragment = this.#fragment
    if (fragment.length === 0) return undefined
    if (this.#partial === undefined && fragment.length >= HANDSHAKE_HEADER_BYTES) {
      const end = messageBytes(fragment, expected)
      if (end <= fragment.length) {
        this.#fragment = fragment.subarray(end)
        return message(fragment.subarray(0, end))
      }
      return this.#fill(new Uint8Array(end), expected)
    }
    return this.#fill(this.#partial ?? new Uint8Array(HANDSHAKE_HEADER_BYTES), expected)
  }

  #fill(partial: Uint8Array, expected: ExpectedMessage | undefined): HandshakeMessage | undefined {
    const take = Math.min(partial.length - this.#filled, this.#fragment.length)
    partial.set(this.#fragment.subarray(0, take), this.#filled)
    this.#fragment = this.#fragment.subarray(take)
    this.#filled += take
    this.#partial = partial
    // The type is known from the first byte on.
    checkType(partial[0] as number, expected)
    if (this.#filled < partial.length) return undefined
    if (partial.length === HANDSHAKE_HEADER_BYTES) {
      const end = messageBytes(partial, expected)
      if (end > HANDSHAKE_HEADER_BYTES) {
        const whole = new Uint8Array(end)
        whole.set(partial)
        return this.#fill(whole, expected)
      }
    }
    this.#partial = undefined
    this.#filled = 0
    return message(partial)
  }
}

function checkType(type: number, expected: ExpectedMessage | undefined): asserts expected is ExpectedMessage {
  if (expected === undefined || type !== expected.type)
    refuse('ERR_TLS_UNEXPECTED_MESSAGE', `handshake message of type ${type}`)
}

function messageBytes(bytes: Uint8Array, expected: ExpectedMessage | undefined): number {
  checkType(bytes[0] as number, expected)
  const length = ((bytes[1] as number) << 16) | ((bytes[2] as number) << 8) | (bytes[3] as number)
  if (expected.isExact && length !== expected.maxBytes) {
    refuse('ERR_TLS_DECODE', `handshake message of ${length} bytes in place of ${expected.maxBytes}`)
  }
  if (length > expected.maxBytes) refuse('ERR_TLS_ILLEGAL_PARAMETER', `handshake message of ${length} bytes`)
  return HANDSHAKE_HEADER_BYTES + length
}

function message(bytes: Uint8Array): HandshakeMessage {
  return { type: bytes[0] as number, body: bytes.subarray(HANDSHAKE_HEADER_BYTES), bytes }
}

// Cuts a byte stream into records. Knows "not yet complete" from "invalid". RFC 8446 §5.1.
import { refuse, TlsError } from '../errors.ts'
import {
  ContentType,
  MAX_CIPHERTEXT_BYTES,
  MAX_PLAINTEXT_BYTES,
  RECORD_HEADER_BYTES,
} from './content-type.ts'

/** Views: of the chunk pushed last, or of a buffer made for this record. They die with the next push. */
export interface TlsRecord {
  readonly type: number
  readonly header: Uint8Array
  readonly fragment: Uint8Array
}

const NOTHING = new Uint8Array(0)

export class RecordDeframer {
  #chunk: Uint8Array = NOTHING
  #at = 0
  // A record that began in an earlier chunk: first its header alone, then a buffer of exactly its size.
  #partial: Uint8Array | undefined
  #filled = 0
  #isFirst = true

  /** Takes bytes of any split; call {@link next} until it returns undefined before the next push. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk
    this.#at = 0
  }

  /** Gives back, as a copy, what of the chunk pushed last is not in a record yet. */
  takeRest(): Uint8Array {
    const rest = this.#chunk.slice(this.#at)
    this.#chunk = NOTHING
    this.#at = 0
    return rest
  }

  /** Whether bytes of an unfinished record are held. */
  get hasPartial(): boolean {
    return this.#partial !== undefined
  }

  /**
   * The next whole record; undefined when more bytes are needed.
   *
   * @throws {TlsError} ERR_TLS_UNEXPECTED_MESSAGE, ERR_TLS_RECORD_OVERFLOW, ERR_TLS_NOT_TLS,
   * ERR_TLS_HTTP_REQUEST, ERR_TLS_PROTOCOL_VERSION
   */
  next(): TlsRecord | undefined {
    return this.#partial === undefined ? this.#fromChunk() : this.#fromPartial(this.#partial)
  }

  #fromChunk(): TlsRecord | undefined {
    const chunk = this.#chunk
    const at = this.#at
    const left = chunk.length - at
    if (left === 0) {
      this.#chunk = NOTHING
      this.#at = 0
      return undefined
    }
    if (left < RECORD_HEADER_BYTES) return this.#fromPartial(new Uint8Array(RECORD_HEADER_BYTES))
    const length = this.#fragmentLength(chunk, at)
    const end = at + RECORD_HEADER_BYTES + length
    if (end > chunk.length) return this.#fromPartial(new Uint8Array(RECORD_HEADER_BYTES + length))
    this.#at = end
    return record(chunk.subarray(at, end))
  }

  #fromPartial(partial: Uint8Array): TlsRecord | undefined {
    const take = Math.min(partial.length - this.#filled, this.#chunk.length - this.#at)
    partial.set(this.#chunk.subarray(this.#at, this.#at + take), this.#filled)
    this.#at += take
    this.#filled += take
    this.#partial = partial
    if (this.#filled < partial.length) return undefined
    if (partial.length === RECORD_HEADER_BYTES) {
      const length = this.#fragmentLength(partial, 0)
      if (length > 0) {
        const whole = new Uint8Array(RECORD_HEADER_BYTES + length)
        whole.set(partial)
        return this.#fromPartial(whole)
      }
    }
    this.#partial = undefined
    this.#filled = 0
    return record(partial)
  }

  /** Checks a header before anything is allocated for what it announces. */
  #fragmentLength(bytes: Uint8Array, at: number): number {
    if (this.#isFirst) {
      checkFirstHeader(bytes.subarray(at, at + RECORD_HEADER_BYTES))
      this.#isFirst = false
    }
    const type = bytes[at] as number
    if (type < ContentType.change_cipher_spec || type > ContentType.application_data) {
      refuse('ERR_TLS_UNEXPECTED_MESSAGE', `content type ${type}`)
    }
    const length = ((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number)
    const limit = type === ContentType.application_data ? MAX_CIPHERTEXT_BYTES : MAX_PLAINTEXT_BYTES
    if (length > limit) refuse('ERR_TLS_RECORD_OVERFLOW', `record of ${length} bytes`)
    return length
  }
}

function record(bytes: Uint8Array): TlsRecord {
  return {
    type: bytes[0] as number,
    header: bytes.subarray(0, RECORD_HEADER_BYTES),
    fragment: bytes.subarray(RECORD_HEADER_BYTES),
  }
}

const HTTP_STARTS: ReadonlySet<string> = new Set([
  'GET ',
  'POST',
  'HEAD',
  'PUT ',
  'OPTI',
  'CONN',
  'PRI ',
  'DELE',
  'PATC',
])
const SSL2_CLIENT_HELLO = 1
const TLS_MAJOR = 3

/** What a first header that is not TLS most likely is. */
function checkFirstHeader(header: Uint8Array): void {
  if (header[0] === ContentType.handshake && header[1] === TLS_MAJOR) return
  if (HTTP_STARTS.has(String.fromCharCode(...header.subarray(0, 4))))
    throw new TlsError('ERR_TLS_HTTP_REQUEST')
  // RFC 6101 appendix E: two bytes of length with the top bit set, then CLIENT-HELLO.
  if (((header[0] as number) & 0x80) !== 0 && header[2] === SSL2_CLIENT_HELLO)
    refuse('ERR_TLS_PROTOCOL_VERSION', 'SSL 2.0 hello')
  refuse(
    'ERR_TLS_NOT_TLS',
    `first bytes ${Array.from(header, (byte) => byte.toString(16).padStart(2, '0')).join('')}`,
  )
}

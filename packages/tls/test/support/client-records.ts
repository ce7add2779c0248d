// The record layer of the test client: frames, protects, and queues whatever bytes a test wants. RFC 8446 §5.
import { concat } from './bytes.ts'
import { plainRecord } from './client-hello.ts'
import type { RecordKeys, SealOptions } from './client-keys.ts'
import { RECORD } from './code-points.ts'

export interface ReceivedRecord {
  readonly outerType: number
  readonly innerType: number
  readonly version: number
  /** Content without padding and type. */
  readonly content: Uint8Array
  readonly padding: number
  /** As it came. */
  readonly bytes: Uint8Array
}

const MAX_CONTENT_BYTES = 16_384
const HEADER_BYTES = 5

export abstract class RecordLayer {
  /** Set when the server's records are protected. */
  readKeys: RecordKeys | undefined
  writeKeys: RecordKeys | undefined
  /** All that came, in order. */
  readonly records: ReceivedRecord[] = []
  readonly #output: Uint8Array[] = []
  #input: Uint8Array = new Uint8Array(0)

  protected abstract receiveContent(type: number, content: Uint8Array, isProtected: boolean): void

  /** The keys of the moment. @throws if there are none. */
  get writer(): RecordKeys {
    if (this.writeKeys === undefined) throw new Error('no keys yet')
    return this.writeKeys
  }

  /** Everything to be sent since the last call, in one piece. */
  take(): Uint8Array {
    return concat(...this.#output.splice(0))
  }

  /** Queues bytes as they are. */
  raw(...bytes: readonly Uint8Array[]): this {
    this.#output.push(...bytes)
    return this
  }

  /** Queues a plaintext record. */
  plain(type: number, fragment: Uint8Array, version?: number): this {
    return this.raw(plainRecord(type, fragment, version))
  }

  /** Queues a protected record under the keys of the moment. */
  seal(innerType: number, content: Uint8Array, options?: SealOptions): this {
    return this.raw(this.writer.seal(innerType, content, options))
  }

  /** Bytes of the server, split anywhere. @throws if they are no good TLS. */
  receive(bytes: Uint8Array): void {
    this.#input = concat(this.#input, bytes)
    while (this.#input.length >= HEADER_BYTES) {
      const length = ((this.#input[3] as number) << 8) | (this.#input[4] as number)
      if (this.#input.length < HEADER_BYTES + length) return
      const record = this.#input.subarray(0, HEADER_BYTES + length)
      this.#input = this.#input.subarray(HEADER_BYTES + length)
      this.#receiveRecord(record)
    }
  }

  /** Bytes of an unfinished record. */
  get pending(): number {
    return this.#input.length
  }

  #receiveRecord(bytes: Uint8Array): void {
    const outerType = bytes[0] as number
    const version = ((bytes[1] as number) << 8) | (bytes[2] as number)
    if (version !== 0x0303) throw new Error(`record version 0x${version.toString(16)}`)
    if (outerType !== RECORD.data) {
      if (this.readKeys !== undefined && outerType !== RECORD.ccs) {
        throw new Error(`plaintext record of type ${outerType} under keys`)
      }
      const content = bytes.subarray(HEADER_BYTES)
      this.records.push({ outerType, innerType: outerType, version, content, padding: 0, bytes })
      this.receiveContent(outerType, content, false)
      return
    }
    if (this.readKeys === undefined) throw new Error('protected record before ServerHello')
    const inner = this.readKeys.open(bytes)
    const typeAt = inner.findLastIndex((byte) => byte !== 0)
    if (typeAt < 0) throw new Error('record without a content type')
    if (typeAt > MAX_CONTENT_BYTES) throw new Error(`${typeAt} bytes in a record`)
    const innerType = inner[typeAt] as number
    const content = inner.subarray(0, typeAt)
    this.records.push({ outerType, innerType, version, content, padding: inner.length - 1 - typeAt, bytes })
    this.receiveContent(innerType, content, true)
  }
}

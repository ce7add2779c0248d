// The writing side of a connection: fills records with handshake messages and data, under the keys of the moment.
import { ContentType, MAX_PLAINTEXT_BYTES } from './content-type.ts'
import { Outgoing } from './outgoing.ts'
import { padBytes, type PaddingPolicy } from './padding.ts'
import type { Protection } from './protection.ts'
import { writePlaintextRecord } from './record-protection.ts'

const CHANGE_CIPHER_SPEC = [Uint8Array.of(1)]

export class RecordWriter {
  readonly #padding: PaddingPolicy | undefined
  #maxProtectedBytes = MAX_PLAINTEXT_BYTES
  #protection: Protection | undefined
  // Handshake messages not yet put into records, so that one flight fills as few records as it can.
  #queued: Uint8Array[] = []
  #out = new Outgoing()

  /** @param padding of protected records; undefined: none */
  constructor(padding?: PaddingPolicy) {
    this.#padding = padding
  }

  /** Most content of one record under the keys of this moment. */
  get maxBytes(): number {
    return this.#protection === undefined ? MAX_PLAINTEXT_BYTES : this.#maxProtectedBytes
  }

  /** From here on a protected record holds so many bytes of content and padding, at most 2^14. RFC 8449 §4. */
  limitProtected(bytes: number): void {
    this.#maxProtectedBytes = Math.min(bytes, MAX_PLAINTEXT_BYTES)
  }

  get isProtected(): boolean {
    return this.#protection !== undefined
  }

  /** Whether the keys have sealed as much as they should. */
  get isWorn(): boolean {
    return this.#protection?.isWorn === true
  }

  /** Queues a handshake message for {@link flushQueued}. */
  queue(message: Uint8Array): void {
    this.#queued.push(message)
  }

  /** Changes keys: what is queued still goes under the old ones, which are wiped. */
  protect(protection: Protection): void {
    this.flushQueued()
    this.#protection?.wipe()
    this.#protection = protection
  }

  changeCipherSpec(): void {
    this.flushQueued()
    writePlaintextRecord(this.#out, ContentType.change_cipher_spec, CHANGE_CIPHER_SPEC)
  }

  /** One record of `pieces`, at most {@link maxBytes} in all. */
  seal(type: number, pieces: readonly Uint8Array[]): void {
    if (this.#protection === undefined) writePlaintextRecord(this.#out, type, pieces)
    else this.#protection.seal(this.#out, type, pieces, this.#paddingOf(pieces))
  }

  #paddingOf(pieces: readonly Uint8Array[]): number {
    if (this.#padding === undefined) return 0
    const contentBytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
    return padBytes(this.#padding, contentBytes, this.#maxProtectedBytes)
  }

  /** Puts queued handshake messages into records under the keys of this moment. */
  flushQueued(): void {
    if (this.#queued.length === 0) return
    const flight = this.#queued
    this.#queued = []
    const { maxBytes } = this
    fillRecords(
      flight,
      () => maxBytes,
      (pieces) => this.seal(ContentType.handshake, pieces),
    )
  }

  /** Drops handshake messages that are not in records yet, and records that no key protects: nothing of it has left. */
  dropUnsent(): void {
    this.#queued = []
    if (this.#protection === undefined) this.#out = new Outgoing()
  }

  /** The records made since the last call: see {@link Outgoing.take}. */
  take(): Uint8Array[] {
    return this.#out.take()
  }

  /** Forgets the keys. */
  wipe(): void {
    this.#protection?.wipe()
    this.#protection = undefined
  }
}

/**
 * Cuts `chunks` into as few records as they fit in: calls `seal` with the pieces of each.
 *
 * @param nextMaxBytes most bytes of the next record; asked once for each.
 */
export function fillRecords(
  chunks: readonly Uint8Array[],
  nextMaxBytes: () => number,
  seal: (pieces: readonly Uint8Array[]) => void,
): void {
  let pieces: Uint8Array[] = []
  let size = 0
  let maxBytes = 0
  for (const chunk of chunks) {
    let at = 0
    while (at < chunk.length) {
      if (size === 0) maxBytes = nextMaxBytes()
      const take = Math.min(chunk.length - at, maxBytes - size)
      pieces.push(take === chunk.length ? chunk : chunk.subarray(at, at + take))
      size += take
      at += take
      if (size < maxBytes) continue
      seal(pieces)
      pieces = []
      size = 0
    }
  }
  if (size > 0) seal(pieces)
}

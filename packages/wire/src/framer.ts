// Cuts a stream of bytes into packets. The only place that knows "not complete yet".
import { type FramedPacket, HEADER_BYTES, type Header, readHeader } from './packet.ts'

/** What a packet that comes in pieces is collected in at first: the size nearly all packets have. */
const INITIAL_BYTES = 1024

/**
 * Takes chunks as a socket gives them and gives back whole packets; packet borders and chunk borders are unrelated.
 *
 * A packet that lies wholly inside a chunk is a view of that chunk, so a chunk must not be written to afterwards. A
 * packet that comes in pieces is collected in memory of its own: each byte is copied a bounded number of times
 * however small the pieces are. Called `next` until undefined after each `push`, a framer holds at most one
 * unfinished packet (65543 bytes) besides the chunk. An owner that does not do so must bound what waits, both
 * `pendingBytes` and `pendingChunks`: a chunk of one byte takes up a hundred times that.
 *
 * @example
 * framer.push(chunk)
 * for (let framed = framer.next(); framed !== undefined; framed = framer.next()) handle(readPacket(framed))
 */
export class PacketFramer {
  /** From `#head` on not yet read to the end; more than one only if the owner paused between packets. */
  readonly #chunks: Uint8Array[] = []
  #head = 0
  /** Read position in the chunk at `#head`. */
  #at = 0
  #unreadBytes = 0
  /** The start of a packet whose rest has not come yet, in `#partial[0..#filled]`. */
  #partial = new Uint8Array(0)
  #filled = 0

  /** Bytes of packets that were not given out yet: not zero when a peer closes in the middle of one. */
  get pendingBytes(): number {
    return this.#filled + this.#unreadBytes
  }

  /** Chunks that were not read to their end yet; 0 after `next` gave undefined. */
  get pendingChunks(): number {
    return this.#chunks.length - this.#head
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    // A Buffer's slice() is a view and not a copy: nothing of that kind may leave here.
    this.#chunks.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length))
    this.#unreadBytes += chunk.length
  }

  /** The next packet; undefined if its bytes have not all come yet. */
  next(): FramedPacket | undefined {
    for (let chunk = this.#chunks[this.#head]; chunk !== undefined; chunk = this.#chunks[this.#head]) {
      const framed = this.#filled === 0 ? this.#view(chunk) : this.#collect(chunk)
      if (this.#at === chunk.length) this.#dropChunk()
      if (framed !== undefined) return framed
    }
    return undefined
  }

  /** `shift()` moves all chunks that follow, each time. Moved only when half are read, each is moved once on average. */
  #dropChunk(): void {
    this.#at = 0
    this.#head++
    if (this.#head * 2 < this.#chunks.length) return
    this.#chunks.splice(0, this.#head)
    this.#head = 0
  }

  /** A packet that lies in `chunk` as a whole; else its start is set aside. */
  #view(chunk: Uint8Array): FramedPacket | undefined {
    const left = chunk.length - this.#at
    if (left >= HEADER_BYTES) {
      const header = readHeader(chunk, this.#at)
      const size = HEADER_BYTES + header.length
      if (left >= size) {
        const body = chunk.subarray(this.#at + HEADER_BYTES, this.#at + size)
        this.#advance(size)
        return { header, body }
      }
    }
    return this.#collect(chunk)
  }

  /** Adds to the packet that has begun, as much of `chunk` as belongs to it. */
  #collect(chunk: Uint8Array): FramedPacket | undefined {
    if (!this.#fill(chunk, HEADER_BYTES)) return undefined
    const header: Header = readHeader(this.#partial)
    const size = HEADER_BYTES + header.length
    if (!this.#fill(chunk, size)) return undefined
    const body = this.#partial.subarray(HEADER_BYTES, size)
    this.#partial = new Uint8Array(0) // the packet owns that memory now
    this.#filled = 0
    return { header, body }
  }

  /** Copies from `chunk` until the collected packet has `size` bytes; false if there were not enough. */
  #fill(chunk: Uint8Array, size: number): boolean {
    const count = Math.min(size - this.#filled, chunk.length - this.#at)
    if (count > 0) {
      this.#reserve(this.#filled + count)
      this.#partial.set(chunk.subarray(this.#at, this.#at + count), this.#filled)
      this.#filled += count
      this.#advance(count)
    }
    return this.#filled >= size
  }

  /** Doubles: memory follows what a peer has sent, not what its header promises. */
  #reserve(size: number): void {
    if (size <= this.#partial.length) return
    const grown = new Uint8Array(Math.max(size, INITIAL_BYTES, this.#partial.length * 2))
    grown.set(this.#partial.subarray(0, this.#filled))
    this.#partial = grown
  }

  #advance(count: number): void {
    this.#at += count
    this.#unreadBytes -= count
  }
}

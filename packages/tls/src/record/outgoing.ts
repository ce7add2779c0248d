// Where records are written before they leave: several of one flight stand in one piece of memory, which goes to the socket
// in one call and is used again when it has gone.
import { allocate } from '@latchkey/core'
import { MAX_CIPHERTEXT_BYTES, RECORD_HEADER_BYTES } from './content-type.ts'

/** Four records of full length: what a Duplex passes on at a time. */
const SLAB_BYTES = 4 * (RECORD_HEADER_BYTES + MAX_CIPHERTEXT_BYTES)
/** Shorter records are a view of memory shared with others, see `allocate`. */
const MIN_SLAB_RECORD_BYTES = 4096
/** How many slabs wait for their next use: 4 MB, for a process that sends on thousands of connections at the same time. */
const MAX_FREE_SLABS = 64

const freeSlabs: Uint8Array[] = []
/** The slab of each piece that is on its way: an entry can be taken out once, so no slab is given back twice. */
const slabsOnTheirWay = new WeakMap<Uint8Array, Uint8Array>()

/**
 * To be called when a piece that {@link Outgoing.take} gave has left and nobody reads it any more; twice, or with other
 * bytes, is harmless. A piece that never comes back is left to the collector.
 */
export function giveBack(piece: Uint8Array): void {
  const slab = slabsOnTheirWay.get(piece)
  if (slab === undefined) return
  slabsOnTheirWay.delete(piece)
  if (freeSlabs.length < MAX_FREE_SLABS) freeSlabs.push(slab)
}

/** The records of one connection that have not left yet, in order. */
export class Outgoing {
  #pieces: Uint8Array[] = []
  #slab: Uint8Array | undefined
  #slabEnd = 0

  /** Memory for the next record of exactly so many bytes. It may hold what was sent before: fill all of it. */
  reserve(bytes: number): Uint8Array {
    if (this.#slab !== undefined && this.#slabEnd + bytes > SLAB_BYTES) this.#endSlab()
    if (this.#slab === undefined && bytes >= MIN_SLAB_RECORD_BYTES && bytes <= SLAB_BYTES)
      this.#slab = freeSlabs.pop() ?? new Uint8Array(SLAB_BYTES)
    if (this.#slab !== undefined) return this.#slab.subarray(this.#slabEnd, (this.#slabEnd += bytes))
    const own = allocate(bytes)
    this.#pieces.push(own)
    return own
  }

  /** All records since the last call, in as few pieces as they are in memory; see {@link giveBack}. */
  take(): Uint8Array[] {
    this.#endSlab()
    const pieces = this.#pieces
    if (pieces.length > 0) this.#pieces = []
    return pieces
  }

  #endSlab(): void {
    const slab = this.#slab
    if (slab === undefined) return
    const piece = slab.subarray(0, this.#slabEnd)
    slabsOnTheirWay.set(piece, slab)
    this.#pieces.push(piece)
    this.#slab = undefined
    this.#slabEnd = 0
  }
}

// Small byte arrays without a trip outside the heap for each.

/** One slab serves about a hundred messages. */
const SLAB_BYTES = 64 * 1024
/** Above this a slab would be used up too soon; below 64 bytes V8 keeps an array inside its heap anyway. */
const LARGEST_FROM_SLAB = 4096

let slab = new Uint8Array(SLAB_BYTES)
let at = 0

/**
 * `length` zero bytes. A typed array of its own costs 0.5 µs and a finaliser; a view of a slab a tenth of that. Slabs are
 * handed out once and never again, so the bytes are zero and nobody else's. Not for secrets: a slab lives as long as any
 * view of it.
 *
 * @throws {RangeError} if `length` is not a whole number from 0 up.
 */
export function allocate(length: number): Uint8Array {
  if (!Number.isSafeInteger(length) || length < 0) throw new RangeError(`cannot allocate ${length} bytes`)
  if (length > LARGEST_FROM_SLAB) return new Uint8Array(length)
  if (at + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES)
    at = 0
  }
  const bytes = slab.subarray(at, at + length)
  at += length
  return bytes
}

/** One array of all `parts`, `size` bytes in all. */
export function concatenate(parts: readonly Uint8Array[], size: number): Uint8Array {
  const whole = allocate(size)
  let end = 0
  for (const part of parts) {
    whole.set(part, end)
    end += part.length
  }
  return whole
}

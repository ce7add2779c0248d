// A digest of any length for a home that signs digests of one length only.

/**
 * ECDSA takes the leftmost bits of a digest, as many as the order has, as a number (FIPS 186-5 §6.4.1): a longer digest may
 * be cut, and a number has the same value with zeros in front. Some homes refuse whatever is not as long as they expect.
 *
 * @param orderBytes see {@link ORDER_BYTES}. No home knows a hash as long as the order of P-521: there 64 bytes are given.
 * @returns an array of the caller's own.
 */
export function ecdsaInput(digest: Uint8Array, orderBytes: number): Uint8Array {
  const length = Math.min(orderBytes, 64)
  if (digest.length >= length) return digest.slice(0, length)
  const input = new Uint8Array(length)
  input.set(digest, length - digest.length)
  return input
}

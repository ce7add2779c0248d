// The premaster secret of RSA key exchange, taken without telling anybody whether it was one. RFC 5246 §7.4.7.1.
//
// A server that lets a client see whether a ciphertext was padded well decrypts, query by query, whatever the client likes
// (Bleichenbacher 1998; by time alone: Marvin 2023). So nothing here branches on, or indexes by, a byte of a decrypted
// block: every block gives 48 bytes in the same steps, and whether they are good shows in Finished, or nowhere.
import { secretRandom } from '../crypto-provider.ts'

/** client_version and 46 random bytes. RFC 5246 §7.4.7.1. */
export const PREMASTER_BYTES = 48
/** 00 02, eight bytes of padding, 00. RFC 8017 §7.2. */
const PADDING_BYTES = 11

/**
 * The premaster secret in a decrypted block, or random bytes in its place if the block is none:
 *
 *     block = 00 ‖ 02 ‖ PS, no byte 00 ‖ 00 ‖ premaster secret, 48 bytes           RFC 8017 §7.2.2, "implicit rejection"
 *
 * For signers whose key decrypts without looking at the padding.
 *
 * @param block as long as the modulus; wiped here.
 * @returns 48 bytes that the caller owns.
 * @throws {RangeError} if no padded premaster secret is so short: that depends on the key alone.
 */
export function premasterOfBlock(block: Uint8Array): Uint8Array {
  const start = block.length - PREMASTER_BYTES
  if (start < PADDING_BYTES) throw new RangeError(`a decrypted block of ${block.length} bytes`)
  const substitute = secretRandom(PREMASTER_BYTES)
  let wrong = byteAt(block, 0) | (byteAt(block, 1) ^ 2) | byteAt(block, start - 1)
  for (let at = 2; at < start - 1; at++) wrong |= oneIfZero(byteAt(block, at))
  const premaster = choose(wrong, block.subarray(start), substitute)
  block.fill(0)
  substitute.fill(0)
  return premaster
}

/**
 * `decrypted` if it has 48 bytes of which the first two are `clientVersion`, else `substitute`: an old client could be
 * made to offer less than it can, and a signer may return what it likes.
 *
 * @param decrypted wiped here. @param substitute 48 bytes; stays the caller's.
 * @returns 48 bytes that the caller owns.
 */
export function checkedPremaster(
  decrypted: Uint8Array,
  clientVersion: number,
  substitute: Uint8Array,
): Uint8Array {
  const candidate = new Uint8Array(PREMASTER_BYTES)
  candidate.set(decrypted.subarray(0, PREMASTER_BYTES))
  const wrong =
    (decrypted.length ^ PREMASTER_BYTES) |
    (byteAt(candidate, 0) ^ (clientVersion >>> 8)) |
    (byteAt(candidate, 1) ^ (clientVersion & 0xff))
  const premaster = choose(wrong, candidate, substitute)
  candidate.fill(0)
  decrypted.fill(0)
  return premaster
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] as number
}

/** 1 for 0, 0 for 1 to 255. */
function oneIfZero(byte: number): number {
  return ((byte - 1) >>> 8) & 1
}

/** A copy of `good` where `wrong` is 0, of `other` where it is 1 to 2^31 - 1. */
function choose(wrong: number, good: Uint8Array, other: Uint8Array): Uint8Array {
  const mask = (wrong - 1) >> 31
  const chosen = new Uint8Array(PREMASTER_BYTES)
  for (let at = 0; at < PREMASTER_BYTES; at++)
    chosen[at] = (byteAt(good, at) & mask) | (byteAt(other, at) & ~mask)
  return chosen
}

// What raw RSA is asked to decrypt: an integer below the modulus, as long as the modulus.
import { KeysError } from './errors.ts'
import { withoutLeadingZeros } from './ski.ts'

/**
 * The ciphertext is an integer: zeros in front do not count, and c = n is taken as 0. All branches here are on the
 * ciphertext, which the peer chose; nothing looks at the plaintext.
 */
export function rsaBlock(modulus: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  const integer = withoutLeadingZeros(ciphertext)
  const order = compareIntegers(integer, modulus)
  if (order > 0) {
    throw new KeysError('ERR_KEYS_CRYPTO', { detail: 'the ciphertext is larger than the modulus' })
  }
  const block = new Uint8Array(modulus.length)
  if (order < 0) block.set(integer, modulus.length - integer.length)
  return block
}

/** Both big-endian, without leading zeros. */
function compareIntegers(left: Uint8Array, right: Uint8Array): number {
  return left.length === right.length ? Buffer.compare(left, right) : left.length - right.length
}

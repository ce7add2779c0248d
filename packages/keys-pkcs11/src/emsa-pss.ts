// EMSA-PSS, RFC 8017 §9.1.1: the padding that TLS 1.3 wants of RSA, made here for tokens that sign raw RSA and do not know
// it. Older HSMs and most TPM modules are among them; without it their RSA keys could serve TLS 1.2 only.
//
//     M' = 00 00 00 00 00 00 00 00 ‖ mHash ‖ salt        H = Hash(M')
//     EM = (PS ‖ 01 ‖ salt) xor MGF1(H) ‖ H ‖ bc         PS: zeros
import { hash, randomBytes } from 'node:crypto'

export interface PssOptions {
  /** As node:crypto names it. The salt is as long. */
  readonly hashName: string
  readonly modulusBits: number
  readonly salt?: Uint8Array
}

/**
 * @param mHash of the hash's length; the key has room for it (see `algorithmsOf`).
 * @returns as many bytes as the modulus, memory of their own.
 */
export function emsaPss(mHash: Uint8Array, { hashName, modulusBits, salt }: PssOptions): Buffer {
  const emBits = modulusBits - 1
  const emLength = Math.ceil(emBits / 8)
  const hLength = mHash.length
  const own = salt ?? randomBytes(hLength)
  const h = hash(hashName, Buffer.concat([Buffer.alloc(8), mHash, own]), 'buffer')

  const dbLength = emLength - hLength - 1
  const maskedDb = mgf1(h, dbLength, hashName)
  const one = dbLength - own.length - 1
  maskedDb[one] = (maskedDb[one] as number) ^ 1
  for (const [at, byte] of own.entries()) {
    maskedDb[one + 1 + at] = (maskedDb[one + 1 + at] as number) ^ byte
  }
  // Step 11: the number must be below the modulus.
  maskedDb[0] = (maskedDb[0] as number) & (0xff >> (8 * emLength - emBits))

  const block = Buffer.alloc(Math.ceil(modulusBits / 8))
  const at = block.length - emLength
  block.set(maskedDb, at)
  block.set(h, at + dbLength)
  block[block.length - 1] = 0xbc
  return block
}

/** RFC 8017 §B.2.1 */
function mgf1(seed: Uint8Array, length: number, hashName: string): Buffer {
  const blocks: Buffer[] = []
  for (let made = 0, counter = 0; made < length; counter++) {
    const count = Buffer.alloc(4)
    count.writeUInt32BE(counter)
    const block = hash(hashName, Buffer.concat([seed, count]), 'buffer')
    blocks.push(block)
    made += block.length
  }
  return Buffer.concat(blocks, length)
}

import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, hash, privateEncrypt, randomBytes, verify } from 'node:crypto'
import { test } from 'node:test'
import { emsaPss } from './emsa-pss.ts'

for (const modulusBits of [2048, 2047, 2046, 1032, 3072]) {
  for (const hashName of ['sha256', 'sha384', 'sha512']) {
    if (modulusBits < 1100 && hashName === 'sha512') continue // no room
    test(`${modulusBits} bits, ${hashName}: raw RSA on it is what OpenSSL verifies`, () => {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: modulusBits })
      for (let n = 0; n < 5; n++) {
        const message = randomBytes(60)
        const block = emsaPss(hash(hashName, message, 'buffer'), { hashName, modulusBits })
        const signature = privateEncrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, block)
        const padding = constants.RSA_PKCS1_PSS_PADDING
        const saltLength = constants.RSA_PSS_SALTLEN_DIGEST
        assert.ok(verify(hashName, message, { key: publicKey, padding, saltLength }, signature))
        const other = Buffer.concat([message, Buffer.of(1)])
        assert.ok(!verify(hashName, other, { key: publicKey, padding, saltLength }, signature))
      }
    })
  }
}

test('each block has a salt of its own', () => {
  const digest = randomBytes(32)
  const blocks = Array.from({ length: 4 }, () =>
    emsaPss(digest, { hashName: 'sha256', modulusBits: 2048 }).toString('hex'),
  )
  assert.equal(new Set(blocks).size, 4)
})

test('a modulus of one bit more than whole bytes: its first byte is not of the padding', () => {
  const block = emsaPss(randomBytes(32), { hashName: 'sha256', modulusBits: 2049 })
  assert.deepEqual([block.length, block[0], block.at(-1)], [257, 0, 0xbc])
})

import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { decryptRaw, encryptPkcs1 } from '../crypto-provider.ts'
import { checkedPremaster, premasterOfBlock } from './premaster-secret.ts'

const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex')
const BLOCK_BYTES = 256
const PREMASTER = Uint8Array.from({ length: 48 }, (_, index) => (index === 0 || index === 1 ? 3 : index))

/** 00 02 PS 00 premaster, and what `change` does to it. */
function block(change: (bytes: Uint8Array) => unknown = () => {}): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES).fill(0xff)
  bytes[0] = 0
  bytes[1] = 2
  bytes[BLOCK_BYTES - 49] = 0
  bytes.set(PREMASTER, BLOCK_BYTES - 48)
  change(bytes)
  return bytes
}

test('a padded premaster secret is taken out of its block, which is wiped', () => {
  const bytes = block()
  assert.equal(hex(premasterOfBlock(bytes)), hex(PREMASTER))
  assert.ok(bytes.every((byte) => byte === 0))
})

test('any padding without a zero will do, and as short as it may be', () => {
  for (const value of [1, 2, 0x7f, 0x80, 0xfe]) {
    const bytes = block((all) => all.fill(value, 2, BLOCK_BYTES - 49))
    assert.equal(hex(premasterOfBlock(bytes)), hex(PREMASTER))
  }
  const shortest = block().slice(BLOCK_BYTES - 59)
  shortest.set([0, 2])
  assert.equal(hex(premasterOfBlock(shortest)), hex(PREMASTER))
  assert.throws(() => premasterOfBlock(new Uint8Array(58)), RangeError)
})

test('a block that is wrong in any bit of its frame, or has a zero anywhere in its padding, gives something random', () => {
  const frame = [0, 1, BLOCK_BYTES - 49].flatMap((at) =>
    Array.from({ length: 8 }, (_, bit) => (bytes: Uint8Array) => {
      bytes[at] = (bytes[at] as number) ^ (1 << bit)
    }),
  )
  const zeros = Array.from({ length: BLOCK_BYTES - 51 }, (_, index) => (bytes: Uint8Array) => {
    bytes[2 + index] = 0
  })
  for (const change of [...frame, ...zeros]) {
    const [one, two] = [premasterOfBlock(block(change)), premasterOfBlock(block(change))]
    assert.equal(one.length, 48)
    assert.notEqual(hex(one), hex(PREMASTER))
    assert.notEqual(hex(one), hex(two))
  }
})

test('what RSA encrypts comes back, from each size of key', () => {
  for (const modulusLength of [1024, 2048, 3072]) {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength })
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 48, maxLength: 48 }), (premaster) => {
        const decrypted = decryptRaw(privateKey, encryptPkcs1(publicKey, premaster))
        assert.equal(decrypted.length, modulusLength / 8)
        assert.equal(hex(premasterOfBlock(decrypted)), hex(premaster))
      }),
      { numRuns: 5 },
    )
    for (const length of [0, 1, 47, 49, 80]) {
      const decrypted = decryptRaw(privateKey, encryptPkcs1(publicKey, new Uint8Array(length).fill(7)))
      assert.notEqual(hex(premasterOfBlock(decrypted).subarray(0, 40)), '07'.repeat(40))
    }
  }
})

test('a premaster secret of the right length and version is taken, and nothing else', () => {
  const substitute = new Uint8Array(48).fill(0xee)
  const rows: [name: string, decrypted: Uint8Array, isTaken: boolean][] = [
    ['good', PREMASTER, true],
    ['47 bytes', PREMASTER.subarray(0, 47), false],
    ['49 bytes', Uint8Array.from([...PREMASTER, 0]), false],
    ['none', new Uint8Array(0), false],
    ['a thousand', new Uint8Array(1000).fill(3), false],
    ...Array.from({ length: 16 }, (_, bit): [string, Uint8Array, boolean] => {
      const changed = new Uint8Array(PREMASTER)
      const at = bit >> 3
      changed[at] = (changed[at] as number) ^ (1 << (bit & 7))
      return [`bit ${bit} of the version`, changed, false]
    }),
  ]
  for (const [name, decrypted, isTaken] of rows) {
    const given = new Uint8Array(decrypted)
    const expected = isTaken ? decrypted : substitute
    assert.equal(hex(checkedPremaster(given, 0x0303, substitute)), hex(expected), name)
    assert.ok(
      given.every((byte) => byte === 0),
      `${name} is wiped`,
    )
  }
  assert.ok(substitute.every((byte) => byte === 0xee))
})

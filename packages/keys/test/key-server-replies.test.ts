// What a running key server answered, compared where it is deterministic, verified where it is not.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { loadPrivateKey, type NativePrivateKey } from '../src/index.ts'
import {
  fromHex,
  GOLDEN_KEYS,
  GOLDEN_OPERATIONS,
  goldenDer,
  type GoldenOperation,
  toHex,
} from './support/golden-keys.ts'
import { verifyDigest } from './verify-digest.ts'

describe('replies of a key server', () => {
  const keys = new Map<string, NativePrivateKey>()
  before(() => {
    for (const { name } of GOLDEN_KEYS) keys.set(name, loadPrivateKey(goldenDer(name), { source: name }))
  })
  after(() => {
    for (const key of keys.values()) key[Symbol.dispose]()
  })

  const perform = ({ key: name, operation, input }: GoldenOperation): Uint8Array => {
    const key = keys.get(name) as NativePrivateKey
    if (operation !== 'decrypt') return key.sign(operation, fromHex(input))
    assert.ok(key.decryptRaw)
    return key.decryptRaw(fromHex(input))
  }

  for (const golden of GOLDEN_OPERATIONS) {
    const { name, output, deterministic, operation, input } = golden
    if (output === null) {
      it(`${name}: refused`, () => {
        const code = operation === 'decrypt' ? 'ERR_KEYS_CRYPTO' : 'ERR_KEYS_DIGEST_LENGTH'
        assert.throws(() => perform(golden), { name: 'KeysError', code })
      })
    } else if (deterministic || operation === 'decrypt') {
      it(`${name}: the same bytes`, () => {
        assert.equal(toHex(perform(golden)), output)
      })
    } else {
      it(`${name}: both signatures verify`, () => {
        const { publicKey } = keys.get(golden.key) as NativePrivateKey
        assert.ok(verifyDigest(publicKey, operation, fromHex(input), fromHex(output)))
        assert.ok(verifyDigest(publicKey, operation, fromHex(input), perform(golden)))
      })
    }
  }
})

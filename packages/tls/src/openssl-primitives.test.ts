import assert from 'node:assert/strict'
import { getBuiltinModule } from 'node:process'
import { test } from 'node:test'
import { type AeadName, nodePrimitives, type Primitives, secretRandom } from './crypto-provider.ts'
import { openSslPrimitives } from './openssl-primitives.ts'

const primitives = openSslPrimitives()
const options = { skip: primitives === undefined ? 'this Node has no node:ffi' : false }
const ours = primitives as Primitives
const KEY_BYTES = { 'aes-128-gcm': 16, 'aes-256-gcm': 32, 'chacha20-poly1305': 32 } as const
const NAMES = Object.keys(KEY_BYTES) as AeadName[]

function sealWith(
  who: Primitives,
  name: AeadName,
  parameters: Parameters<Primitives['seal']>[2],
  head: Uint8Array,
  plaintext: Uint8Array,
): Buffer {
  const out: Uint8Array[] = []
  who.seal(out, name, parameters, head, plaintext)
  return Buffer.concat(out)
}

test('where Node has node:ffi the self-test passes', () => {
  assert.equal(primitives !== undefined, getBuiltinModule('node:ffi') !== undefined)
})

test(
  'all in turn, at every length, give what node:crypto gives: nothing of one call is left in the next',
  options,
  () => {
    for (let length = 0; length <= 300; length++) {
      const bytes = secretRandom(length)
      const digest = nodePrimitives.digest('sha256', bytes)
      assert.deepEqual(Buffer.from(ours.digest('sha256', bytes)), digest)
      const target = new Uint8Array(96).fill(1)
      ours.digestInto(target, 64, 'sha256', bytes)
      assert.deepEqual(Buffer.from(target), Buffer.concat([new Uint8Array(64).fill(1), digest]))

      const name = NAMES[length % NAMES.length] as AeadName
      const key = secretRandom(KEY_BYTES[name])
      const parameters = { key, nonce: secretRandom(12), additionalData: secretRandom(length % 34) }
      const head = secretRandom(length % 14)
      const sealed = sealWith(nodePrimitives, name, parameters, head, bytes)
      assert.deepEqual(sealWith(ours, name, parameters, head, bytes), sealed)
      const opened = ours.open(name, parameters, sealed.subarray(head.length))
      assert.deepEqual(opened, bytes)
    }
  },
)

test('SHA-384 and long data are hashed too', options, () => {
  for (const length of [1, 1024, 1025, 20_000]) {
    const bytes = secretRandom(length)
    for (const name of ['sha256', 'sha384'] as const)
      assert.deepEqual(Buffer.from(ours.digest(name, bytes)), nodePrimitives.digest(name, bytes))
  }
})

test('a record of full length, and what is too long for the page, are sealed and opened', options, () => {
  for (const length of [16_385, 20_480, 40_000]) {
    const parameters = { key: secretRandom(16), nonce: secretRandom(12), additionalData: secretRandom(5) }
    const plaintext = secretRandom(length)
    const sealed = sealWith(ours, 'aes-128-gcm', parameters, new Uint8Array(0), plaintext)
    assert.deepEqual(nodePrimitives.open('aes-128-gcm', parameters, sealed), Buffer.from(plaintext))
    assert.deepEqual(Buffer.from(ours.open('aes-128-gcm', parameters, sealed) ?? []), Buffer.from(plaintext))
  }
})

for (const name of NAMES) {
  test(`${name}: a bit changed anywhere gives nothing, and the record after it opens`, options, () => {
    const parameters = {
      key: secretRandom(KEY_BYTES[name]),
      nonce: secretRandom(12),
      additionalData: secretRandom(5),
    }
    const plaintext = secretRandom(40)
    const sealed = sealWith(nodePrimitives, name, parameters, new Uint8Array(0), plaintext)
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed)
      changed.writeUInt8(changed.readUInt8(at) ^ 0x80, at)
      assert.equal(ours.open(name, parameters, changed), undefined)
    }
    assert.equal(ours.open(name, { ...parameters, additionalData: secretRandom(6) }, sealed), undefined)
    assert.equal(ours.open(name, parameters, sealed.subarray(0, 15)), undefined)
    assert.deepEqual(ours.open(name, parameters, sealed), plaintext)
  })
}

test('X25519 agrees both ways, and no two keys are alike', options, () => {
  const shares = new Set<string>()
  for (let round = 0; round < 20; round++) {
    const a = ours.generateX25519()
    const b = nodePrimitives.generateX25519()
    shares.add(Buffer.from(a.share).toString('hex'))
    assert.deepEqual(Buffer.from(a.sharedSecret(b.share)), Buffer.from(b.sharedSecret(a.share)))
  }
  assert.equal(shares.size, 20)
})

test('X25519 refuses points of low order and keys of another length', options, () => {
  const one = new Uint8Array(32)
  one[0] = 1
  for (const point of [new Uint8Array(32), one, new Uint8Array(31), new Uint8Array(33)])
    assert.throws(() => ours.generateX25519().sharedSecret(point))
})

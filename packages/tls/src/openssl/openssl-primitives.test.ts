import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { getBuiltinModule } from 'node:process'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  type AeadName,
  type AeadParameters,
  type HashName,
  mlKemClient,
  nodePrimitives,
  type Primitives,
  secretRandom,
  TAG_BYTES,
} from '../crypto-provider.ts'
import { openSslPrimitives } from './openssl-primitives.ts'

const primitives = openSslPrimitives()
const options = { skip: primitives === undefined ? 'this Node has no node:ffi' : false }
const ours = primitives as Primitives
const KEY_BYTES = { 'aes-128-gcm': 16, 'aes-256-gcm': 32, 'chacha20-poly1305': 32 } as const
const HASHES = ['sha256', 'sha384'] as const
const NAMES = Object.keys(KEY_BYTES) as AeadName[]

function sealWith(
  who: Primitives,
  name: AeadName,
  parameters: AeadParameters,
  head: Uint8Array,
  plaintext: Uint8Array,
): Buffer {
  const target = Buffer.alloc(head.length + plaintext.length + TAG_BYTES + 3, 7)
  target.set(head)
  who.sealBuffer.set(plaintext)
  who.seal(target, head.length, name, parameters, plaintext.length)
  assert.deepEqual(target.subarray(-3), Buffer.alloc(3, 7))
  return target.subarray(0, -3)
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
      for (const hash of HASHES) assertSameHashes(hash, bytes)

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

function assertSameHashes(name: HashName, bytes: Uint8Array): void {
  const same = (compute: (primitives: Primitives) => Uint8Array): void =>
    assert.deepEqual(Buffer.from(compute(ours)), Buffer.from(compute(nodePrimitives)))
  same((primitives) => primitives.digest(name, bytes))
  const key = secretRandom(bytes.length % 65)
  same((primitives) => primitives.hmac(name, key, bytes, bytes.length))
  same((primitives) => primitives.hmac(name, key, bytes, bytes.length >>> 1))
  same((primitives) => primitives.hkdfExtract(name, key, bytes))
  same((primitives) => {
    const hash = primitives.createHash(name)
    hash.update(bytes)
    return Buffer.concat([hash.digest(), hash.digestWith(bytes), hash.digest()])
  })
}

test('long data is hashed too', options, () => {
  for (const length of [1024, 1025, 20_000, 20_480, 20_481, 70_000])
    for (const name of HASHES) assertSameHashes(name, secretRandom(length))
})

test('hashes that grow at the same time do not meet', options, () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(3), fc.uint8Array({ maxLength: 300 })), { maxLength: 30 }),
      (updates) => {
        const names = [...HASHES, ...HASHES]
        const pairs = names.map((name) => [ours.createHash(name), nodePrimitives.createHash(name)] as const)
        for (const [which, bytes] of updates) for (const hash of pairs[which] ?? []) hash.update(bytes)
        for (const [ourHash, theirHash] of pairs)
          assert.deepEqual(Buffer.from(ourHash.digest()), theirHash.digest())
      },
    ),
    { numRuns: 200 },
  )
})

test('an HMAC key longer than a block is refused', () => {
  for (const each of primitives === undefined ? [nodePrimitives] : [nodePrimitives, ours]) {
    assert.throws(() => each.hmac('sha256', secretRandom(65), secretRandom(1), 1), RangeError)
    assert.throws(() => each.hmac('sha384', secretRandom(129), secretRandom(1), 1), RangeError)
  }
})

test('what is longer than any record is opened', options, () => {
  for (const length of [16_385, 20_464, 20_465, 40_000]) {
    const parameters = { key: secretRandom(16), nonce: secretRandom(12), additionalData: secretRandom(5) }
    const plaintext = secretRandom(length)
    const cipher = createCipheriv('aes-128-gcm', parameters.key, parameters.nonce)
    cipher.setAAD(parameters.additionalData)
    const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
    assert.deepEqual(Buffer.from(ours.open('aes-128-gcm', parameters, sealed) ?? []), Buffer.from(plaintext))
  }
})

test('lengths that OpenSSL would not look at are refused', options, () => {
  const parameters = { key: secretRandom(16), nonce: secretRandom(12), additionalData: secretRandom(13) }
  const wrong: AeadParameters[] = [
    { ...parameters, key: secretRandom(15) },
    { ...parameters, key: secretRandom(32) },
    { ...parameters, nonce: secretRandom(11) },
    { ...parameters, nonce: secretRandom(13) },
    { ...parameters, additionalData: secretRandom(65) },
  ]
  const target = new Uint8Array(20_000)
  for (const each of wrong) {
    assert.throws(() => ours.seal(target, 0, 'aes-128-gcm', each, 1), RangeError)
    assert.throws(() => ours.open('aes-128-gcm', each, new Uint8Array(20)), RangeError)
  }
  assert.throws(() => ours.seal(target, 0, 'aes-128-gcm', parameters, 16_386), RangeError)
  for (const [at, length] of [
    [-1, 10],
    [20_000 - 25, 10],
    [20_000 - 16_400, 16_385],
  ] as const)
    assert.throws(() => ours.seal(target, at, 'aes-128-gcm', parameters, length), RangeError)
})

test(
  'nothing is left in the queue of errors of OpenSSL, where others would take it for theirs',
  options,
  () => {
    const { functions } = (getBuiltinModule('node:ffi') as unknown as TestFfi).dlopen(null, {
      ERR_peek_error: { arguments: [], return: 'uint64' },
    })
    for (const name of NAMES) {
      const parameters = {
        key: secretRandom(KEY_BYTES[name]),
        nonce: secretRandom(12),
        additionalData: secretRandom(5),
      }
      assert.equal(ours.open(name, parameters, new Uint8Array(60)), undefined)
      assert.equal(functions.ERR_peek_error(), 0n)
    }
    assert.throws(() => ours.generateX25519().sharedSecret(new Uint8Array(32)))
    assert.throws(() => ours.encapsulateMlKem768(new Uint8Array(1184).fill(0xff)))
    assert.equal(functions.ERR_peek_error(), 0n)
  },
)

test('ML-KEM-768: the client has the same key; what is no key is refused', options, () => {
  const ciphertexts = new Set<string>()
  for (let round = 0; round < 20; round++) {
    const client = mlKemClient()
    assert.ok(client !== undefined)
    const { sharedKey, ciphertext } = ours.encapsulateMlKem768(client.encapsulationKey)
    ciphertexts.add(Buffer.from(ciphertext).toString('hex'))
    assert.deepEqual(Buffer.from(sharedKey), Buffer.from(client.open(ciphertext)))
    // FIPS 203 §7.2: every coefficient is below 3329, of 12 bits.
    const wrong = new Uint8Array(client.encapsulationKey).fill(0xff, 300, 303)
    assert.throws(() => ours.encapsulateMlKem768(wrong))
    assert.throws(() => nodePrimitives.encapsulateMlKem768(wrong))
  }
  assert.equal(ciphertexts.size, 20)
  for (const length of [0, 1183, 1185])
    assert.throws(() => ours.encapsulateMlKem768(new Uint8Array(length)), RangeError)
})

interface TestFfi {
  dlopen(path: null, signatures: object): { functions: { readonly ERR_peek_error: () => bigint } }
}

test('a record is sealed to the middle of memory of others, which stays as it was', options, () => {
  for (const length of [4095, 4096, 4097, 16_385]) {
    const parameters = { key: secretRandom(16), nonce: secretRandom(12), additionalData: secretRandom(5) }
    const plaintext = secretRandom(length)
    const around = Buffer.alloc(40_000, 7)
    ours.sealBuffer.set(plaintext)
    ours.seal(around.subarray(1000), 234, 'aes-128-gcm', parameters, length)
    const end = 1234 + length + TAG_BYTES
    assert.deepEqual(
      nodePrimitives.open('aes-128-gcm', parameters, around.subarray(1234, end)),
      Buffer.from(plaintext),
    )
    assert.deepEqual(around.subarray(0, 1234), Buffer.alloc(1234, 7))
    assert.deepEqual(around.subarray(end), Buffer.alloc(40_000 - end, 7))
  }
})

test('no more than a record goes through the seal buffer', options, () => {
  for (const { sealBuffer } of [nodePrimitives, ours]) {
    assert.equal(sealBuffer.length, 16_385)
    assert.throws(() => sealBuffer.set(new Uint8Array(16_386)), RangeError)
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

test('an X25519 key is used once: what is left of it is known to all', options, () => {
  const key = ours.generateX25519()
  const { share } = nodePrimitives.generateX25519()
  key.sharedSecret(share)
  assert.throws(() => key.sharedSecret(share), { message: 'an ephemeral key is used once' })
})

test('X25519 refuses points of low order and keys of another length', options, () => {
  const one = new Uint8Array(32)
  one[0] = 1
  for (const point of [new Uint8Array(32), one, new Uint8Array(31), new Uint8Array(33)])
    assert.throws(() => ours.generateX25519().sharedSecret(point))
})

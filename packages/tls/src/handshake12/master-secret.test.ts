import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { hkdf } from '../handshake/key-schedule.ts'
import { CIPHER_SUITES12, cipherSuite12, type CipherSuite12Name } from './cipher-suite12.ts'
import { MasterSecret, pHash } from './master-secret.ts'

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex')

// The vectors of the IETF TLS working group's list (message 3416 of its archive), label "test label". OpenSSL's TLS1-PRF
// gives the same.
const VECTORS = [
  {
    hash: 'sha256',
    secret: '9bbe436ba940f017b17652849a71db35',
    seed: 'a0ba9f936cda311827a6f796ffd5198c',
    output: `e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af
      0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701
      87347b66`,
  },
  {
    hash: 'sha384',
    secret: 'b80b733d6ceefcdc71566ea48e5567df',
    seed: 'cd665cf6a8447dd6ff8b27555edb7465',
    output: `7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0
      e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425
      9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e099070
      3d73e56f`,
  },
] as const

for (const { hash, secret, seed, output } of VECTORS) {
  test(`PRF with ${hash}: known answer, and every shorter output is its beginning`, () => {
    const expected = hex(bytes(output))
    const labelled = new Uint8Array([...Buffer.from('test label'), ...bytes(seed)])
    for (let length = 0; length <= expected.length / 2; length++) {
      const actual = hex(pHash(hkdf(hash), bytes(secret), labelled, length))
      assert.equal(actual, expected.slice(0, 2 * length))
    }
  })
}

/** RFC 5246 §5, as it is written. */
function reference(hash: string, secret: Uint8Array, label: string, length: number, ...seed: Uint8Array[]) {
  const labelled = Buffer.concat([Buffer.from(label), ...seed])
  let a: Buffer = labelled
  let output = Buffer.alloc(0)
  while (output.length < length) {
    a = createHmac(hash, secret).update(a).digest()
    const block = createHmac(hash, secret).update(a).update(labelled).digest()
    output = Buffer.concat([output, block])
  }
  return output.subarray(0, length).toString('hex')
}

const of = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })

for (const name of Object.keys(CIPHER_SUITES12) as CipherSuite12Name[]) {
  const suite = cipherSuite12(name)
  const { hash, keyBytes, fixedIvBytes } = suite
  const kdf = hkdf(hash)

  test(`${name}: master secret, keys and verify_data are those of RFC 5246 and RFC 7627`, () => {
    fc.assert(
      fc.property(
        fc.constantFrom(32, 48).chain(of),
        of(kdf.length),
        of(32),
        of(32),
        fc.boolean(),
        (premaster, transcriptHash, client, server, isExtended) => {
          const expectedMaster = isExtended
            ? reference(hash, premaster, 'extended master secret', 48, transcriptHash)
            : reference(hash, premaster, 'master secret', 48, client, server)
          const randoms = { client, server }
          const master = isExtended
            ? MasterSecret.extended(kdf, premaster, transcriptHash)
            : MasterSecret.ofRandoms(kdf, premaster, randoms)
          assert.ok(
            premaster.every((byte) => byte === 0),
            'the premaster secret is wiped',
          )
          const secret = bytes(expectedMaster)
          const block = reference(
            hash,
            secret,
            'key expansion',
            2 * (keyBytes + fixedIvBytes),
            server,
            client,
          )
          const keys = master.keys(suite, randoms)
          const whole = [keys.client.key, keys.server.key, keys.client.fixedIv, keys.server.fixedIv]
          assert.equal(whole.map(hex).join(''), block)
          for (const sender of ['client', 'server'] as const) {
            const expected = reference(hash, secret, `${sender} finished`, 12, transcriptHash)
            assert.equal(hex(master.verifyData(sender, transcriptHash)), expected)
          }
          master.wipe()
          assert.notEqual(
            hex(master.verifyData('server', transcriptHash)),
            reference(hash, secret, 'server finished', 12, transcriptHash),
          )
        },
      ),
      { numRuns: 20 },
    )
  })
}

test('the secret of a session goes on: lent to who makes a ticket, taken over from one', () => {
  const kdf = hkdf('sha256')
  const first = MasterSecret.extended(kdf, new Uint8Array(32).fill(1), new Uint8Array(32).fill(2))
  const secret = first.lend((own) => new Uint8Array(own))
  const resumed = MasterSecret.resumed(kdf, secret)
  assert.ok(
    secret.every((byte) => byte === 0),
    'what was taken over is wiped',
  )
  const transcriptHash = new Uint8Array(32).fill(3)
  assert.equal(
    hex(resumed.verifyData('client', transcriptHash)),
    hex(first.verifyData('client', transcriptHash)),
  )
  resumed.wipe()
  assert.deepEqual(
    resumed.lend((own) => [...own]),
    Array.from({ length: 48 }, () => 0),
  )
})

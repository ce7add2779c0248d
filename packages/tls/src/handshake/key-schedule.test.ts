import assert from 'node:assert/strict'
import { createHmac, hkdfSync } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { hkdf } from './key-schedule.ts'

const HASHES = ['sha256', 'sha384'] as const

for (const name of HASHES) {
  const kdf = hkdf(name)
  const secret = (): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: kdf.length, maxLength: kdf.length })

  test(`${name}: hmac and extract are the HMAC of RFC 2104`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.uint8Array({ maxLength: 200 }), (key, input) => {
        const expected = createHmac(name, key).update(input).digest('hex')
        assert.equal(Buffer.from(kdf.hmac(key, input)).toString('hex'), expected)
        assert.equal(Buffer.from(kdf.extract(key, input)).toString('hex'), expected)
      }),
    )
  })

  test(`${name}: expandLabel is the HKDF-Expand of RFC 5869 on HkdfLabel`, () => {
    fc.assert(
      fc.property(secret(), fc.uint8Array({ maxLength: 48 }), (prk, context) => {
        const label = Buffer.from('tls13 c hs traffic')
        const info = Buffer.concat([
          Buffer.of(0, kdf.length, label.length),
          label,
          Buffer.of(context.length),
          context,
        ])
        const expected = createHmac(name, prk).update(info).update(Buffer.of(1)).digest('hex')
        const expanded = kdf.expandLabel(prk, 'c hs traffic', context, kdf.length)
        assert.equal(Buffer.from(expanded).toString('hex'), expected)
      }),
    )
  })

  test(`${name}: extract then expand agrees with node's HKDF`, () => {
    const salt = Buffer.alloc(kdf.length, 7)
    const input = Buffer.alloc(32, 9)
    const label = Buffer.from('tls13 key')
    const info = Buffer.concat([Buffer.of(0, 16, label.length), label, Buffer.of(0)])
    const expected = Buffer.from(hkdfSync(name, input, salt, info, 16)).toString('hex')
    const key = kdf.expandLabel(kdf.extract(salt, input), 'key', new Uint8Array(0), 16)
    assert.equal(Buffer.from(key).toString('hex'), expected)
  })
}

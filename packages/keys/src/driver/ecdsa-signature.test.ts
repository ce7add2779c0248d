import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign, verify } from 'node:crypto'
import { test } from 'node:test'
import { assert as check, property, uint8Array } from 'fast-check'
import { ecdsaFromDer, ecdsaToDer, ORDER_BYTES } from './ecdsa-signature.ts'

const number = (bytes: number) =>
  uint8Array({ minLength: bytes, maxLength: bytes }).filter((value) => value.some((byte) => byte !== 0))

test('DER and back', () => {
  for (const bytes of Object.values(ORDER_BYTES)) {
    check(
      property(number(bytes), number(bytes), (r, s) => {
        const raw = new Uint8Array([...r, ...s])
        assert.deepEqual(ecdsaFromDer(ecdsaToDer(raw, bytes), bytes), raw)
      }),
    )
  }
})

test('what OpenSSL signs and verifies', () => {
  for (const namedCurve of ['prime256v1', 'secp384r1', 'secp521r1']) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
    for (let n = 0; n < 20; n++) {
      const message = createHash('sha256').update(String(n)).digest()
      const raw = sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })
      assert.ok(verify('sha256', message, publicKey, ecdsaToDer(raw, ORDER_BYTES[namedCurve] as number)))
      const der = sign('sha256', message, privateKey)
      const back = ecdsaFromDer(der, ORDER_BYTES[namedCurve] as number)
      assert.ok(verify('sha256', message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, back))
    }
  }
})

test('no strict prefix and nothing longer is a signature', () => {
  const der = ecdsaToDer(new Uint8Array(64).fill(0x90), 32)
  for (let length = 0; length < der.length; length++) {
    assert.throws(() => ecdsaFromDer(der.subarray(0, length), 32), { code: 'ERR_KEYS_REPLY' })
  }
  assert.throws(() => ecdsaFromDer(new Uint8Array([...der, 0]), 32), { code: 'ERR_KEYS_REPLY' })
})

for (const { name, hex } of [
  { name: 'a negative number', hex: '3006020180020101' },
  { name: 'a zero', hex: '3006020100020101' },
  { name: 'a number with a zero too many in front', hex: '300702020001020101' },
  { name: 'no number', hex: '30050200020101' },
  { name: 'three numbers', hex: '3009020101020101020101' },
  {
    name: 'a number above the order’s length',
    hex: `3026 0221 01${'00'.repeat(32)} 020101`.replaceAll(' ', ''),
  },
]) {
  test(`refused: ${name}`, () => {
    assert.throws(() => ecdsaFromDer(Buffer.from(hex, 'hex'), 32), { code: 'ERR_KEYS_REPLY' })
  })
}

test('random bytes give a signature or our error', () => {
  check(
    property(uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        assert.equal(ecdsaFromDer(bytes, 32).length, 64)
      } catch (cause) {
        assert.equal((cause as { code: string }).code, 'ERR_KEYS_REPLY')
      }
    }),
  )
})

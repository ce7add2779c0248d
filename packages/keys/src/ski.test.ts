import assert from 'node:assert/strict'
import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, GOLDEN_KEYS, toHex } from '../test/support/golden-keys.ts'
import { modulusDigest, rsaModulus, subjectKeyIdentifier } from './ski.ts'

describe('subjectKeyIdentifier', () => {
  for (const golden of GOLDEN_KEYS) {
    it(`of ${golden.name} is the golden one, from a KeyObject and from DER`, () => {
      const spki = fromHex(golden.spki)
      const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
      assert.equal(toHex(subjectKeyIdentifier(spki)), golden.ski)
      assert.equal(toHex(subjectKeyIdentifier(key)), golden.ski)
      assert.equal(createHash('sha1').update(fromHex(golden.skiInput)).digest('hex'), golden.ski)
    })
  }

  it('gives bytes of its own', () => {
    const spki = fromHex((GOLDEN_KEYS[0] as { spki: string }).spki)
    const first = subjectKeyIdentifier(spki)
    first.fill(0)
    assert.notDeepEqual(subjectKeyIdentifier(spki), first)
  })

  for (const [name, spki] of Object.entries({
    nothing: '',
    'an INTEGER': '020101',
    'an empty SEQUENCE': '3000',
    'an OCTET STRING in place of the BIT STRING': '300430000400',
    'a BIT STRING without its unused-bits byte': '300430000300',
    'seven unused bits': '30063000030207ff',
    'a field after the BIT STRING': '30083000030200ff0500',
    'bytes after the key': '30063000030200ff00',
    'an indefinite length': '308030000302000000',
    'a length of five bytes': '3085000000000130',
    'a length beyond the end': '3082ffff',
  })) {
    it(`refuses ${name}`, () => {
      assert.throws(() => subjectKeyIdentifier(fromHex(spki)), { code: 'ERR_KEYS_PUBLIC_KEY' })
    })
  }

  it('refuses every strict prefix of a key', () => {
    for (const { spki } of GOLDEN_KEYS) {
      const bytes = fromHex(spki)
      for (let length = 0; length < bytes.length; length++) {
        assert.throws(() => subjectKeyIdentifier(bytes.subarray(0, length)), { code: 'ERR_KEYS_PUBLIC_KEY' })
      }
    }
  })

  it('gives 20 bytes or our error for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          assert.equal(subjectKeyIdentifier(bytes).length, 20)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'ERR_KEYS_PUBLIC_KEY')
        }
      }),
    )
  })
})

describe('modulusDigest', () => {
  for (const golden of GOLDEN_KEYS.filter((key) => key.modulusDigest !== undefined)) {
    it(`of ${golden.name} is the golden one`, () => {
      assert.equal(toHex(modulusDigest(fromHex(golden.spki))), golden.modulusDigest)
    })
  }

  it('writes no leading zero digit: a modulus of 1028 bits begins with half a byte', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1028 })
    const modulus = Buffer.from(publicKey.export({ format: 'jwk' }).n ?? '', 'base64url')
    const digits = modulus.toString('hex').toUpperCase().slice(1)
    assert.equal(modulus[0], Number.parseInt(digits[0] as string, 16))
    assert.equal(toHex(modulusDigest(publicKey)), createHash('sha256').update(digits).digest('hex'))
    assert.deepEqual(Buffer.from(rsaModulus(publicKey)), modulus)
  })

  it('refuses a key that is not RSA', () => {
    for (const { name, spki } of GOLDEN_KEYS) {
      if (name.startsWith('rsa')) continue
      assert.throws(() => modulusDigest(fromHex(spki)), { code: 'ERR_KEYS_PUBLIC_KEY' })
    }
  })
})

import assert from 'node:assert/strict'
import {
  createPublicKey,
  ECDH,
  generateKeyPairSync,
  type KeyObject,
  type PrivateKeyExportOptions,
  randomBytes,
} from 'node:crypto'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { der, pem } from '../test/support/der.ts'
import { GOLDEN_KEYS, goldenDer, goldenKeyObject, goldenPem, toHex } from '../test/support/golden-keys.ts'
import { KeysError } from './errors.ts'
import { type LoadKeyOptions, loadPrivateKey } from './native-key.ts'
import { subjectKeyIdentifier } from './ski.ts'

const SOURCE = '/keys/site.key'
const OID_P256 = Buffer.from('06082a8648ce3d030107', 'hex')

function load(
  bytes: string | Uint8Array,
  options: Partial<LoadKeyOptions> = {},
): ReturnType<typeof loadPrivateKey> {
  return loadPrivateKey(Buffer.from(bytes), { source: SOURCE, ...options })
}

function exported(key: KeyObject, options: PrivateKeyExportOptions): Buffer {
  return Buffer.from(key.export(options))
}

describe('loadPrivateKey: formats', () => {
  for (const { name, ski } of GOLDEN_KEYS) {
    const key = goldenKeyObject(name)
    const forms: PrivateKeyExportOptions[] = [
      { type: 'pkcs8', format: 'pem' },
      { type: 'pkcs8', format: 'der' },
    ]
    const own = { rsa: 'pkcs1', ec: 'sec1' }[key.asymmetricKeyType as string] as 'pkcs1' | 'sec1' | undefined
    if (own !== undefined) forms.push({ type: own, format: 'pem' }, { type: own, format: 'der' })
    for (const form of forms) {
      it(`${name} in ${form.format} ${form.type}`, () => {
        using loaded = load(exported(key, form))
        assert.equal(toHex(loaded.ski), ski)
        assert.equal(loaded.keyType, key.asymmetricKeyType)
        assert.equal(loaded.source, SOURCE)
      })
    }
  }

  const encryption = { cipher: 'aes-256-cbc', passphrase: 'open sesame' }
  const encryptedForms: PrivateKeyExportOptions[] = [
    { type: 'pkcs8', format: 'pem', ...encryption },
    { type: 'pkcs8', format: 'der', ...encryption },
    { type: 'sec1', format: 'pem', ...encryption },
  ]
  for (const form of encryptedForms) {
    describe(`encrypted ${form.format} ${form.type}`, () => {
      const bytes = (): Buffer => exported(goldenKeyObject('p256'), form)
      it('opens with its passphrase', () => {
        using loaded = load(bytes(), { passphrase: Buffer.from('open sesame') })
        assert.equal(loaded.keyType, 'ec')
      })
      it('says that a passphrase is missing, and where it is looked for', () => {
        for (const passphrase of [undefined, new Uint8Array()]) {
          assert.throws(() => load(bytes(), { passphrase }), {
            code: 'ERR_KEYS_PASSPHRASE',
            path: SOURCE,
            message: /no passphrase; hint: .*site\.key\.passphrase/,
          })
        }
      })
      it('says that a passphrase is wrong, and does not repeat it', () => {
        assert.throws(
          () => load(bytes(), { passphrase: Buffer.from('open barley') }),
          (error: KeysError) =>
            error.code === 'ERR_KEYS_PASSPHRASE' &&
            /wrong/.test(error.message) &&
            !error.message.includes('barley'),
        )
      })
    })
  }

  it('takes a key beside certificates and parameters', () => {
    const parameters = pem('EC PARAMETERS', OID_P256)
    const key = exported(goldenKeyObject('p256'), { type: 'sec1', format: 'pem' }).toString()
    using loaded = load(`# made by hand\n${parameters}${key}${pem('CERTIFICATE', Buffer.of(1))}`)
    assert.equal(loaded.keyType, 'ec')
  })

  it('names a key by its uncompressed point, even if the file holds it compressed', () => {
    const { d = '' } = goldenKeyObject('p256').export({ format: 'jwk' })
    const point = Buffer.from(
      (GOLDEN_KEYS.find(({ name }) => name === 'p256') as { skiInput: string }).skiInput,
      'hex',
    )
    const compressed = ECDH.convertKey(point, 'prime256v1', undefined, undefined, 'compressed') as Buffer
    // RFC 5915: ECPrivateKey { version 1, privateKey, [0] parameters, [1] publicKey }
    const sec1 = der(
      0x30,
      der(0x02, Buffer.of(1)),
      der(0x04, Buffer.from(d, 'base64url')),
      der(0xa0, OID_P256),
      der(0xa1, der(0x03, Buffer.of(0), compressed)),
    )
    using loaded = load(sec1)
    assert.equal(toHex(loaded.ski), GOLDEN_KEYS.find(({ name }) => name === 'p256')?.ski)
  })
})

describe('loadPrivateKey: refusals', () => {
  const pkcs8 = (key: KeyObject): Buffer => exported(key, { type: 'pkcs8', format: 'pem' })

  const unsupported: Record<string, () => KeyObject> = {
    secp256k1: () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey,
    brainpoolP256r1: () => generateKeyPairSync('ec', { namedCurve: 'brainpoolP256r1' }).privateKey,
    ed448: () => generateKeyPairSync('ed448').privateKey,
    x25519: () => generateKeyPairSync('x25519').privateKey,
    'ml-dsa-44': () => generateKeyPairSync('ml-dsa-44').privateKey,
    'restricted to PSS': () => generateKeyPairSync('rsa-pss', { modulusLength: 1024 }).privateKey,
  }
  for (const [name, make] of Object.entries(unsupported)) {
    it(`a key that Keyless has no operation for: ${name}`, () => {
      assert.throws(() => load(pkcs8(make())), {
        code: 'ERR_KEYS_UNSUPPORTED',
        path: SOURCE,
        message: new RegExp(`site\\.key; found .*${name}.*; expected RSA, EC`),
      })
    })
  }

  it('RSA below 2048 bits, unless told otherwise', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
    assert.throws(() => load(pkcs8(privateKey)), {
      code: 'ERR_KEYS_WEAK',
      message: /site\.key; found an RSA key of 1024 bits; expected at least 2048; hint: .*allowWeakRsa/,
    })
    using loaded = load(pkcs8(privateKey), { allowWeakRsa: true })
    assert.ok(loaded.algorithms.has('rsa_pkcs1_sha512'))
    assert.ok(!loaded.algorithms.has('rsa_pss_sha512'), '128 bytes have no room for two SHA-512')
  })

  it('a private half beside the public half of another key', () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
      type: 'spki',
      format: 'der',
    })
    const bytes = goldenDer('p256')
    other.subarray(-64).copy(bytes, bytes.length - 64)
    assert.throws(() => load(bytes), { code: 'ERR_KEYS_MISMATCH', path: SOURCE })
  })

  it('a key of the right shape that is damaged', () => {
    const bytes = goldenDer('rsa2048')
    bytes.fill(0xaa, 60, 100) // inside the modulus
    assert.throws(() => load(bytes), { code: 'ERR_KEYS_MISMATCH', path: SOURCE })
  })

  it('PEM with a body that is no key', () => {
    assert.throws(() => load(pem('PRIVATE KEY', Buffer.of(0x30, 0))), {
      code: 'ERR_KEYS_FORMAT',
      path: SOURCE,
      message: /found a damaged key/,
    })
  })

  it('any bytes: a key whose halves fit, or a KeysError', () => {
    const options = { numRuns: 150 }
    const attempt = (bytes: Buffer): void => {
      try {
        using loaded = load(bytes, { allowWeakRsa: true })
        assert.deepEqual(loaded.ski, subjectKeyIdentifier(loaded.publicKey))
      } catch (error) {
        assert.ok(error instanceof KeysError, String(error))
      }
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => attempt(Buffer.from(bytes))),
      options,
    )
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (body) =>
        attempt(Buffer.from(pem('PRIVATE KEY', body))),
      ),
      options,
    )
    for (const name of ['p256', 'ed25519', 'rsa2048']) {
      fc.assert(
        fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), (position, mask) => {
          const bytes = goldenDer(name)
          const at = position % bytes.length
          bytes[at] = (bytes[at] as number) ^ mask
          attempt(bytes)
        }),
        options,
      )
    }
  })
})

describe('loadPrivateKey: secrets', () => {
  const isWiped = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0)

  it('wipes what it was given, after success', () => {
    for (const bytes of [goldenPem('rsa2048'), goldenDer('p256')]) {
      using _ = loadPrivateKey(bytes, { source: SOURCE })
      assert.ok(isWiped(bytes))
    }
  })

  it('wipes what it was given, after a failure', () => {
    const twice = Buffer.concat([goldenPem('p256'), goldenPem('p384')])
    assert.throws(() => loadPrivateKey(twice, { source: SOURCE }), { code: 'ERR_KEYS_FORMAT' })
    assert.ok(isWiped(twice))
  })

  it('puts no byte of the key into an error', () => {
    const bytes = goldenPem('rsa2048')
    const text = bytes.toString()
    bytes.fill('!', 400, 440)
    assert.throws(
      () => loadPrivateKey(bytes, { source: SOURCE }),
      (error: KeysError) =>
        !text.split('\n').some((line) => line.length > 20 && error.message.includes(line)),
    )
  })
})

describe('NativePrivateKey', () => {
  it('is freed once and for all', () => {
    const key = load(goldenDer('rsa2048'))
    const renamed = key.withSource('/keys/other.key')
    assert.equal(renamed.source, '/keys/other.key')
    assert.equal(renamed.sign('rsa_pkcs1_sha256', randomBytes(32)).length, 256)
    key[Symbol.dispose]()
    key[Symbol.dispose]()
    for (const use of [
      () => key.sign('rsa_pkcs1_sha256', new Uint8Array(32)),
      () => renamed.sign('rsa_pkcs1_sha256', new Uint8Array(32)),
      () => key.decryptRaw?.(new Uint8Array(1)),
    ]) {
      assert.throws(use, { code: 'ERR_KEYS_DISPOSED' })
    }
  })

  it('gives a public half that holds nothing private', () => {
    using key = load(goldenDer('p256'))
    assert.equal(key.publicKey.type, 'public')
    assert.ok(key.publicKey.equals(createPublicKey(goldenKeyObject('p256'))))
  })
})

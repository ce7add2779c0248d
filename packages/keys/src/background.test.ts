// The operations off this thread: the same results as on it, any number at a time, and no key freed under them.
import assert from 'node:assert/strict'
import { constants, createHash, publicEncrypt, randomBytes, verify } from 'node:crypto'
import { describe, it } from 'node:test'
import { goldenKeyObject } from '../test/support/golden-keys.ts'
import { loadPrivateKey, type NativePrivateKey } from './native-key.ts'

const MESSAGE = Buffer.from('what is signed')
const DIGEST = createHash('sha256').update(MESSAGE).digest()

function load(name: 'rsa2048' | 'p256' | 'p384' | 'ed25519'): NativePrivateKey {
  const pem = Buffer.from(goldenKeyObject(name).export({ type: 'pkcs8', format: 'pem' }))
  return loadPrivateKey(pem, { source: name })
}

describe('background operations', () => {
  it('are offered where one takes long', () => {
    for (const [name, isOffered] of [
      ['rsa2048', true],
      ['p384', true],
      ['p256', false],
      ['ed25519', false],
    ] as const) {
      using key = load(name)
      assert.equal(key.background !== undefined, isOffered, name)
    }
  })

  it('sign as the thread itself does, many at a time', async () => {
    using key = load('rsa2048')
    const expected = key.sign('rsa_pkcs1_sha256', DIGEST)
    const digests = Array.from({ length: 40 }, () => new Uint8Array(DIGEST))
    const signatures = digests.map((digest) => {
      const signature = key.background?.sign('rsa_pkcs1_sha256', digest)
      digest.fill(0) // copied: the caller may do as it likes
      return signature
    })
    for (const signature of signatures) assert.deepEqual(await signature, expected)
  })

  it('sign with PSS and on P-384', async () => {
    using rsa = load('rsa2048')
    const pss = (await rsa.background?.sign('rsa_pss_sha256', DIGEST)) as Uint8Array
    const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    assert.ok(verify('sha256', MESSAGE, { key: rsa.publicKey, ...padding }, pss))
    using ec = load('p384')
    const ecdsa = (await ec.background?.sign('ecdsa_sha256', DIGEST)) as Uint8Array
    assert.ok(verify('sha256', MESSAGE, ec.publicKey, ecdsa))
  })

  it('decrypt to the whole block', async () => {
    using key = load('rsa2048')
    const ciphertext = publicEncrypt(
      { key: key.publicKey, padding: constants.RSA_PKCS1_PADDING },
      randomBytes(48),
    )
    assert.deepEqual(await key.background?.decryptRaw?.(ciphertext), key.decryptRaw?.(ciphertext))
    await assert.rejects(async () => await key.background?.decryptRaw?.(new Uint8Array(256).fill(255)), {
      code: 'ERR_KEYS_CRYPTO',
    })
  })

  it('refuse what the key cannot do', async () => {
    using key = load('rsa2048')
    await assert.rejects(async () => await key.background?.sign('ecdsa_sha256', DIGEST), {
      code: 'ERR_KEYS_ALGORITHM',
    })
    await assert.rejects(async () => await key.background?.sign('rsa_pss_sha256', new Uint8Array(31)), {
      code: 'ERR_KEYS_DIGEST_LENGTH',
    })
  })

  it('end well when the key is disposed under them, and then no more', async () => {
    const key = load('rsa2048')
    const signatures = Array.from({ length: 8 }, () => key.background?.sign('rsa_pkcs1_sha256', DIGEST))
    key[Symbol.dispose]()
    for (const signature of signatures) assert.equal((await signature)?.length, 256)
    await assert.rejects(async () => await key.background?.sign('rsa_pkcs1_sha256', DIGEST), {
      code: 'ERR_KEYS_DISPOSED',
    })
  })
})

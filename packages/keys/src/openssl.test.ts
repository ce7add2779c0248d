import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { goldenDer, goldenPem } from '../test/support/golden-keys.ts'
import { verifyDigest } from '../test/verify-digest.ts'
import { OpenSslKey } from './openssl.ts'
import { bindOpenSsl } from './openssl-functions.ts'

const DIGEST = new Uint8Array(32).fill(5)

describe('bindOpenSsl', () => {
  it('says what to do where koffi is not installed', () => {
    const open = (): never => {
      throw new Error("Cannot find module 'koffi'")
    }
    assert.throws(() => bindOpenSsl(open), {
      code: 'ERR_KEYS_NATIVE',
      message: /Cannot find module 'koffi'.*hint:/,
    })
  })

  it('says which function a Node with another OpenSSL does not have', () => {
    const library = {
      func: (name: string) => {
        if (name.startsWith('OSSL_')) throw new Error(`Cannot find function '${name}'`)
        return () => 0
      },
    }
    assert.throws(() => bindOpenSsl(() => library), {
      code: 'ERR_KEYS_NATIVE',
      message: /OSSL_DECODER_CTX_new/,
    })
  })
})

describe('OpenSslKey', () => {
  it('signs again and again on one prepared context, with others in between', () => {
    using rsa = OpenSslKey.decode('DER', goldenDer('rsa2048'))
    using p256 = OpenSslKey.decode('PEM', goldenPem('p256'))
    const publicKey = createPublicKey({ key: Buffer.from(p256.publicKey()), format: 'der', type: 'spki' })
    const ecdsa = p256.prepare({ padding: 'ecdsa' })
    const pkcs1 = rsa.prepare({ padding: 'pkcs1', hash: 'sha256' })
    const first = pkcs1.sign(DIGEST)
    for (let round = 0; round < 5; round++) {
      assert.ok(verifyDigest(publicKey, 'ecdsa_sha256', DIGEST, ecdsa.sign(DIGEST)))
      assert.throws(() => pkcs1.sign(new Uint8Array(31)), { code: 'ERR_KEYS_CRYPTO' })
      assert.deepEqual(pkcs1.sign(DIGEST), first, 'a failure in between changes nothing')
    }
  })

  it('says why OpenSSL failed, and leaves no error behind for the next call', () => {
    const failure = (action: () => unknown): string => {
      try {
        action()
      } catch (error) {
        return (error as Error).message
      }
      throw new Error('it did not fail')
    }
    using rsa = OpenSslKey.decode('DER', goldenDer('rsa2048'))
    const signer = rsa.prepare({ padding: 'pkcs1', hash: 'sha256' })
    const digestLength = failure(() => signer.sign(new Uint8Array(1)))
    assert.match(digestLength, /error:[0-9A-F]+:.*invalid digest length/i)
    const garbage = failure(() => OpenSslKey.decode('DER', new Uint8Array(100)))
    assert.match(garbage, /error:[0-9A-F]+:/)
    assert.doesNotMatch(garbage, /invalid digest length/i)
  })

  it('refuses a hash that OpenSSL does not have', () => {
    using rsa = OpenSslKey.decode('DER', goldenDer('rsa2048'))
    assert.throws(() => rsa.prepare({ padding: 'pss', hash: 'no-such-hash' }), { code: 'ERR_KEYS_CRYPTO' })
  })

  it('never decrypts on a context whose padding could not be set', () => {
    // SM2 keys decrypt, but know no RSA padding: set_rsa_padding fails, each time and not only the first.
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'SM2' })
    using sm2 = OpenSslKey.decode('DER', privateKey.export({ format: 'der', type: 'pkcs8' }))
    for (let round = 0; round < 3; round++) {
      // A decryption that was tried leaves OpenSSL's reasons behind the text; a padding that is refused leaves none.
      assert.throws(() => sm2.decryptRaw(new Uint8Array(256)), {
        code: 'ERR_KEYS_CRYPTO',
        message: 'the private-key operation failed',
      })
    }
  })

  it('cannot be used after it was disposed, in any way', () => {
    const key = OpenSslKey.decode('DER', goldenDer('rsa2048'))
    const signer = key.prepare({ padding: 'pkcs1', hash: 'sha256' })
    key.decryptRaw(new Uint8Array(256))
    key[Symbol.dispose]()
    key[Symbol.dispose]()
    assert.ok(key.isDisposed)
    for (const use of [
      () => signer.sign(DIGEST),
      () => key.prepare({ padding: 'ecdsa' }),
      () => key.signMessage(DIGEST),
      () => key.decryptRaw(new Uint8Array(256)),
      () => key.publicKey(),
    ]) {
      assert.throws(use, { code: 'ERR_KEYS_DISPOSED' })
    }
  })

  it('does not ask the terminal for a passphrase that it was not given', () => {
    const pem = Buffer.from(
      '-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n-----END EC PRIVATE KEY-----\n',
    )
    assert.throws(() => OpenSslKey.decode('PEM', pem), { code: 'ERR_KEYS_CRYPTO' })
  })
})

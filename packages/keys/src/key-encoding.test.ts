import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { der, pem } from '../test/support/der.ts'
import { locateKey } from './key-encoding.ts'

const PATH = '/keys/site.key'
const KEY = pem('PRIVATE KEY', Buffer.of(1, 2, 3))
const CERTIFICATE = pem('CERTIFICATE', Buffer.of(4, 5, 6))
const EMPTY = der(0x30)

const FOUND: { name: string; bytes: string | Buffer; format: 'PEM' | 'DER'; encrypted?: boolean }[] = [
  { name: 'PKCS#8', bytes: KEY, format: 'PEM' },
  { name: 'PKCS#1', bytes: pem('RSA PRIVATE KEY', EMPTY), format: 'PEM' },
  { name: 'SEC1', bytes: pem('EC PRIVATE KEY', EMPTY), format: 'PEM' },
  { name: 'EC PARAMETERS first', bytes: pem('EC PARAMETERS', EMPTY) + KEY, format: 'PEM' },
  { name: 'text before', bytes: `Bag Attributes: none\n\n${KEY}`, format: 'PEM' },
  { name: 'certificates after', bytes: KEY + CERTIFICATE + CERTIFICATE, format: 'PEM' },
  { name: 'certificates before', bytes: CERTIFICATE + CERTIFICATE + KEY, format: 'PEM' },
  { name: 'encrypted PKCS#8', bytes: pem('ENCRYPTED PRIVATE KEY', EMPTY), format: 'PEM', encrypted: true },
  {
    name: 'the older encryption',
    bytes: KEY.replace('KEY-----\n', 'KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\n'),
    format: 'PEM',
    encrypted: true,
  },
  { name: 'DER key', bytes: der(0x30, der(0x02, Buffer.of(0)), EMPTY, der(0x04)), format: 'DER' },
  { name: 'encrypted DER key', bytes: der(0x30, EMPTY, der(0x04)), format: 'DER', encrypted: true },
]

const REFUSED: { name: string; bytes: string | Buffer; message: RegExp }[] = [
  { name: 'nothing', bytes: '', message: /found an empty file; expected one private key/ },
  {
    name: 'a certificate',
    bytes: CERTIFICATE,
    message: /found PEM "CERTIFICATE"; .*hint: this is a certificate, not a key/,
  },
  {
    name: 'a request',
    bytes: pem('CERTIFICATE REQUEST', EMPTY),
    message: /hint: this is a certificate request/,
  },
  { name: 'a public key', bytes: pem('PUBLIC KEY', EMPTY), message: /hint: this is the public half/ },
  { name: 'an SSH key', bytes: pem('OPENSSH PRIVATE KEY', EMPTY), message: /hint: an SSH key: .*ssh-keygen/ },
  { name: 'a DSA key', bytes: pem('DSA PRIVATE KEY', EMPTY), message: /found PEM "DSA PRIVATE KEY"/ },
  {
    name: 'parameters alone',
    bytes: pem('EC PARAMETERS', EMPTY),
    message: /found PEM "EC PARAMETERS"; expected/,
  },
  { name: 'a long chain', bytes: CERTIFICATE.repeat(9), message: /("CERTIFICATE", ){4}…/ },
  {
    name: 'two keys',
    bytes: KEY + KEY,
    message: /found 2 private keys.*hint: put each key into a file of its own/,
  },
  { name: 'a key cut short', bytes: KEY.slice(0, -12), message: /without its END line.*cut short/ },
  { name: 'text', bytes: 'hello\n', message: /found 6 bytes that are neither PEM nor DER/ },
  { name: 'four bytes of garbage', bytes: Buffer.of(0xde, 0xad, 0xbe, 0xef), message: /neither PEM nor DER/ },
  {
    name: 'DER with bytes after it',
    bytes: Buffer.concat([EMPTY, Buffer.of(0)]),
    message: /neither PEM nor DER/,
  },
  { name: 'an empty SEQUENCE', bytes: EMPTY, message: /neither PEM nor DER/ },
  {
    name: 'a DER certificate',
    bytes: der(0x30, EMPTY, EMPTY, der(0x03)),
    message: /hint: this is a certificate/,
  },
  { name: 'a DER public key', bytes: der(0x30, EMPTY, der(0x03)), message: /hint: this is the public half/ },
  {
    name: 'PKCS#12',
    bytes: der(0x30, der(0x02, Buffer.of(3)), EMPTY),
    message: /a PKCS#12 file.*openssl pkcs12/,
  },
  {
    name: 'DER of another kind',
    bytes: der(0x30, der(0x05), der(0x05)),
    message: /found DER that is no key/,
  },
]

describe('locateKey', () => {
  for (const { name, bytes, format, encrypted = false } of FOUND) {
    it(`finds the key: ${name}`, () => {
      const found = locateKey(Buffer.from(bytes), PATH)
      assert.equal(found.format, format)
      assert.equal(found.isEncrypted, encrypted)
    })
  }

  it('gives exactly the key', () => {
    const bytes = Buffer.from(`text\n${CERTIFICATE}${KEY}${CERTIFICATE}`)
    assert.equal(`${locateKey(bytes, PATH).bytes.toString()}\n`, KEY)
  })

  for (const { name, bytes, message } of REFUSED) {
    it(`refuses ${name}, with the path and a word on what to do`, () => {
      assert.throws(() => locateKey(Buffer.from(bytes), PATH), {
        code: 'ERR_KEYS_FORMAT',
        path: PATH,
        message,
      })
      assert.throws(() => locateKey(Buffer.from(bytes), PATH), {
        message: /no private key found: \/keys\/site\.key/,
      })
    })
  }

  it('finds a key or refuses, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          assert.ok(locateKey(Buffer.from(bytes), PATH).bytes.length > 0)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'ERR_KEYS_FORMAT')
        }
      }),
    )
  })
})

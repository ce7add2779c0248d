import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { TlsError } from '../errors.ts'
import {
  delegatedCredentialContent,
  readDelegatedCredential,
  writeDelegatedCredential,
  writeDelegatedKey,
} from './delegated-credential.ts'

const bytes = (hex: string): Uint8Array => Buffer.from(hex, 'hex')
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex')

test('a delegated credential is laid out as RFC 9345 §4 says', () => {
  const cred = writeDelegatedKey({
    validTimeSeconds: 0x00015180,
    dcCertVerifyAlgorithm: 0x0403,
    spki: bytes('aabbcc'),
  })
  assert.equal(hex(cred), ['00015180', '0403', '000003aabbcc'].join(''))
  const encoded = writeDelegatedCredential(cred, 0x0804, bytes('dddd'))
  assert.equal(hex(encoded), `${hex(cred)}08040002dddd`)
  const content = delegatedCredentialContent(bytes('3000'), cred, 0x0804)
  const text = Buffer.from('TLS, server delegated credentials').toString('hex')
  assert.equal(hex(content), `${'20'.repeat(64)}${text}003000${hex(cred)}0804`)
})

const credentials = fc.record({
  validTimeSeconds: fc.nat(0xffff_ffff),
  dcCertVerifyAlgorithm: fc.nat(0xffff),
  spki: fc.uint8Array({ maxLength: 200 }),
  algorithm: fc.nat(0xffff),
  signature: fc.uint8Array({ maxLength: 200 }),
})

test('what is written is read, and no strict prefix of it', () => {
  fc.assert(
    fc.property(credentials, ({ algorithm, signature, ...key }) => {
      const cred = writeDelegatedKey(key)
      const encoded = writeDelegatedCredential(cred, algorithm, signature)
      const read = readDelegatedCredential(encoded)
      assert.deepEqual(read.key, key)
      assert.deepEqual([hex(read.cred), read.algorithm], [hex(cred), algorithm])
      assert.deepEqual(read.signature, signature)
      for (let length = 0; length < encoded.length; length++)
        assert.throws(() => readDelegatedCredential(encoded.subarray(0, length)), {
          code: 'ERR_TLS_CREDENTIAL',
        })
      const longer = new Uint8Array([...encoded, 0])
      assert.throws(() => readDelegatedCredential(longer), { code: 'ERR_TLS_CREDENTIAL' })
    }),
    { numRuns: 50 },
  )
})

test('any bytes give a delegated credential or our error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (input) => {
      try {
        readDelegatedCredential(input)
      } catch (error) {
        assert.ok(error instanceof TlsError, String(error))
      }
    }),
  )
})

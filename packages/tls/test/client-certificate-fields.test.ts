// How certificates are signed, and their subjects.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { DecodeError } from '@latchkey/core'
import { createThrowawayCa, type KeyAlgorithm } from '@latchkey/throwaway-pki'
import {
  certificateSubject,
  hasSoundSignatureAlgorithm,
} from '../src/client-certificate/certificate-fields.ts'

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))

async function rootOf(keyAlgorithm: KeyAlgorithm): Promise<Uint8Array> {
  return new X509Certificate((await createThrowawayCa({ keyAlgorithm })).certificatePem).raw
}

test('SHA-2 and Ed25519 are sound, SHA-1 is not', async () => {
  for (const algorithm of ['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'rsa-2048', 'ed25519'] as const)
    assert.equal(hasSoundSignatureAlgorithm(await rootOf(algorithm)), true, algorithm)
  assert.equal(hasSoundSignatureAlgorithm(await rootOf('rsa-2048-sha1')), false)
})

/** Certificate ::= { tbsCertificate {}, signatureAlgorithm }, with RSASSA-PSS and these parameters. */
function withPss(parameters: string): Uint8Array {
  const algorithm = `0609 2a864886f70d01010a ${parameters}`
  const length = (algorithm.replaceAll(' ', '').length / 2).toString(16).padStart(2, '0')
  const body = `3000 30${length} ${algorithm}`
  return hex(`30${(body.replaceAll(' ', '').length / 2).toString(16).padStart(2, '0')} ${body}`)
}

test('RSASSA-PSS is as sound as its hash, and SHA-1 where it names none', () => {
  assert.equal(hasSoundSignatureAlgorithm(withPss('300f a00d 300b 0609 608648016503040201')), true)
  assert.equal(hasSoundSignatureAlgorithm(withPss('300d a00b 3009 0605 2b0e03021a 0500')), false)
  assert.equal(hasSoundSignatureAlgorithm(withPss('3000')), false)
  assert.equal(hasSoundSignatureAlgorithm(withPss('3005 a203 020120')), false)
})

test('the subject is the bytes that issuers are compared by', async () => {
  const root = await createThrowawayCa({ commonName: 'A' })
  const { raw } = new X509Certificate(root.certificatePem)
  assert.deepEqual(Buffer.from(certificateSubject(raw)).toString('hex'), '300c310a300806035504030c0141')
})

test('every strict prefix of a certificate is refused', async () => {
  const der = await rootOf('ecdsa-p256')
  for (let length = 0; length < der.length; length++) {
    assert.throws(() => certificateSubject(der.subarray(0, length)), DecodeError)
    assert.throws(() => hasSoundSignatureAlgorithm(der.subarray(0, length)), DecodeError)
  }
})

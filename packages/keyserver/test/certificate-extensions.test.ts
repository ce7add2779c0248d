// The extensions of certificates as a client may send them: right, cut short, or with bytes changed.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { DecodeError } from '@latchkey/core'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { readCertificateExtensions } from '../src/certificate-extensions.ts'

async function derOf(): Promise<Uint8Array> {
  const ca = await createThrowawayCa({ pathLength: 3 })
  return new Uint8Array(new X509Certificate(ca.certificatePem).raw)
}

test('critical extensions, key usage and path length are read', async () => {
  const ca = await createThrowawayCa({ pathLength: 3 })
  assert.deepEqual(readCertificateExtensions(new X509Certificate(ca.certificatePem).raw), {
    critical: ['2.5.29.19', '2.5.29.15'],
    allowsDigitalSignature: false,
    pathLength: 3,
  })
  const unknown = { oid: '1.3.6.1.4.1.11129.2.4.3', critical: true, value: Uint8Array.of(5, 0) }
  const leaf = await ca.issue({ extensions: [unknown] })
  assert.deepEqual(readCertificateExtensions(new X509Certificate(leaf.certificatePem).raw), {
    critical: ['2.5.29.19', '2.5.29.15', unknown.oid],
    allowsDigitalSignature: true,
    pathLength: undefined,
  })
})

test('every strict prefix of a certificate is refused', async () => {
  const der = await derOf()
  for (let length = 0; length < der.length; length++) {
    assert.throws(() => readCertificateExtensions(der.subarray(0, length)), DecodeError)
  }
})

test('a certificate with any byte changed gives extensions or our error, nothing else', async () => {
  const der = await derOf()
  for (let at = 0; at < der.length; at++) {
    for (const change of [0x01, 0x80, 0xff]) {
      const changed = der.slice()
      changed[at] = (changed[at] as number) ^ change
      try {
        readCertificateExtensions(changed)
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error))
      }
    }
  }
})

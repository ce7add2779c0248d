import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brotliDecompressSync, inflateSync } from 'node:zlib'
import { DecodeError, Reader, Writer } from '@latchkey/core'
import * as fc from 'fast-check'
import { testCertificate } from '../../test/support/certificate.ts'
import { readTrace } from '../../test/support/trace.ts'
import { TlsError } from '../errors.ts'
import { writeCertificate } from '../handshake/server-messages.ts'
import {
  CERTIFICATE_COMPRESSIONS,
  type CertificateCompression,
  compressCertificate,
  compressCertificateMessage,
  readCompressCertificate,
  selectCompressedCertificate,
} from './certificate-compression.ts'
import { loadCredential } from './credential.ts'

const BROTLI = 2
const ZLIB = 1
const chainMessage = writeCertificate(loadCredential({ chain: testCertificate('rsa2048').chainPem }).chain)
const traceMessage = readTrace('simple').messages.certificate as Uint8Array

/** What a client does with the message, written from RFC 8879 §4 alone. */
function decompress(message: Uint8Array): { algorithm: number; body: Uint8Array } {
  const reader = new Reader(message)
  assert.equal(reader.u8(), 25)
  const fields = reader.vector24()
  reader.end()
  const algorithm = fields.u16()
  const uncompressedLength = fields.u24()
  const compressed = fields.opaque24()
  fields.end()
  const body = algorithm === BROTLI ? brotliDecompressSync(compressed) : inflateSync(compressed)
  assert.equal(body.length, uncompressedLength)
  return { algorithm, body: new Uint8Array(body) }
}

for (const name of Object.keys(CERTIFICATE_COMPRESSIONS) as CertificateCompression[]) {
  test(`${name}: a client gets back the body of the Certificate message`, () => {
    for (const message of [chainMessage, traceMessage]) {
      const { algorithm, body } = decompress(compressCertificateMessage(message, name))
      assert.equal(algorithm, CERTIFICATE_COMPRESSIONS[name].code)
      assert.deepEqual(body, new Uint8Array(message.subarray(4)))
    }
  })

  test(`${name}: any body comes back`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (body) => {
        const message = new Writer().u8(11).opaque24(body).finish()
        assert.deepEqual(decompress(compressCertificateMessage(message, name)).body, body)
      }),
      { numRuns: 20 },
    )
  })
}

test('a message that is not a Certificate is refused', () => {
  assert.throws(() => compressCertificateMessage(Uint8Array.of(8, 0, 0, 0), 'zlib'), TypeError)
  assert.throws(() => compressCertificateMessage(new Uint8Array(0), 'zlib'), TypeError)
})

test('a chain gets shorter in both forms, brotli first', () => {
  const forms = compressCertificate(chainMessage)
  assert.deepEqual([...forms.keys()], [BROTLI, ZLIB])
  for (const message of forms.values()) assert.ok(message.length < chainMessage.length)
})

test('a form that saves nothing is not kept', () => {
  const noise = new Writer()
    .u8(11)
    .opaque24(Uint8Array.of(0x9a, 0x31, 0xf7))
    .finish()
  assert.equal(compressCertificate(noise).size, 0)
})

const forms = compressCertificate(chainMessage)
const SELECTIONS: readonly {
  name: string
  offered: readonly number[] | undefined
  chosen: number | undefined
}[] = [
  { name: 'no extension', offered: undefined, chosen: undefined },
  { name: 'only what we do not know', offered: [3, 0x4a4a], chosen: undefined },
  { name: 'zlib only', offered: [ZLIB], chosen: ZLIB },
  { name: 'both, zlib first', offered: [ZLIB, BROTLI], chosen: BROTLI },
]
for (const { name, offered, chosen } of SELECTIONS) {
  test(`select: ${name}`, () => {
    assert.equal(
      selectCompressedCertificate(forms, offered),
      chosen === undefined ? undefined : forms.get(chosen),
    )
  })
}

const read = (bytes: Uint8Array): readonly number[] => {
  const reader = new Reader(bytes)
  const codes = readCompressCertificate(reader)
  reader.end()
  return codes
}

test('readCompressCertificate keeps order and unknown codes', () => {
  assert.deepEqual(read(Uint8Array.of(2, 0, 2)), [2])
  assert.deepEqual(read(Uint8Array.of(6, 0, 1, 0x6a, 0x6a, 0, 2)), [1, 0x6a6a, 2])
})

const REFUSED: readonly { name: string; body: readonly number[]; code: string }[] = [
  { name: 'empty list', body: [0], code: 'ERR_TLS_DECODE' },
  { name: 'odd list', body: [3, 0, 2, 0], code: 'ERR_TLS_DECODE' },
  { name: 'an algorithm twice', body: [4, 0, 2, 0, 2], code: 'ERR_TLS_ILLEGAL_PARAMETER' },
  { name: 'nothing', body: [], code: 'ERR_DECODE_TRUNCATED' },
  { name: 'list longer than the body', body: [4, 0, 2], code: 'ERR_DECODE_TRUNCATED' },
  { name: 'bytes after the list', body: [2, 0, 2, 0], code: 'ERR_DECODE_TRAILING_DATA' },
]
for (const { name, body, code } of REFUSED) {
  test(`readCompressCertificate refuses: ${name}`, () => {
    assert.throws(
      () => read(Uint8Array.from(body)),
      (error) => (error instanceof TlsError || error instanceof DecodeError) && error.code === code,
    )
  })
}

test('readCompressCertificate: any bytes give a list or one of our errors', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        const codes = read(bytes)
        assert.ok(codes.length > 0 && codes.length <= 127)
        assert.equal(new Set(codes).size, codes.length)
      } catch (error) {
        assert.ok(error instanceof TlsError || error instanceof DecodeError)
      }
    }),
  )
})

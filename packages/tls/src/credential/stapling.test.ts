import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { DecodeError, Reader, Writer } from '@latchkey/core'
import * as fc from 'fast-check'
import { TlsError } from '../errors.ts'
import {
  checkOcspResponse,
  readSctList,
  readStatusRequest,
  writeCertificateEntryExtensions,
} from './stapling.ts'

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))
const isUnfit = (error: unknown): boolean => error instanceof TlsError && error.code === 'ERR_TLS_CREDENTIAL'

const vector = JSON.parse(
  readFileSync(new URL('../../test/vectors/ocsp-response.json', import.meta.url), 'utf8'),
) as { successfulHex: string }
const ocspResponse = hex(vector.successfulHex)

// ── extensions of a CertificateEntry ────────────────────────────────────────────────────────────────────────────────

const ocsp = hex('aabbcc')
const sct = hex('0003 0001 ee')
const EXTENSIONS: readonly {
  name: string
  staples: Parameters<typeof writeCertificateEntryExtensions>[0]
  bytes: string
}[] = [
  { name: 'nothing', staples: {}, bytes: '' },
  { name: 'ocsp', staples: { ocsp }, bytes: '0005 0007 01 000003 aabbcc' },
  { name: 'sct', staples: { sct }, bytes: '0012 0005 0003 0001 ee' },
  { name: 'both', staples: { ocsp, sct }, bytes: '0005 0007 01 000003 aabbcc 0012 0005 0003 0001 ee' },
]
for (const { name, staples, bytes } of EXTENSIONS) {
  test(`CertificateEntry extensions: ${name}`, () => {
    assert.deepEqual(new Uint8Array(writeCertificateEntryExtensions(staples)), hex(bytes))
  })
}

test('CertificateEntry extensions can be read back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), fc.uint8Array({ minLength: 1 }), (ocsp, sct) => {
      const reader = new Reader(writeCertificateEntryExtensions({ ocsp, sct }))
      assert.equal(reader.u16(), 5)
      const status = reader.vector16()
      assert.equal(status.u8(), 1)
      assert.deepEqual(new Uint8Array(status.opaque24()), ocsp)
      status.end()
      assert.equal(reader.u16(), 18)
      assert.deepEqual(new Uint8Array(reader.opaque16()), sct)
      reader.end()
    }),
  )
})

// ── status_request ──────────────────────────────────────────────────────────────────────────────────────────────────

const STATUS_REQUESTS: readonly { name: string; body: string; asks: boolean | 'error' }[] = [
  { name: 'as browsers send it', body: '01 0000 0000', asks: true },
  { name: 'with responders and extensions', body: '01 0003 aabbcc 0001 dd', asks: true },
  { name: 'of another type', body: '02 aabbcc', asks: false },
  { name: 'empty', body: '', asks: 'error' },
  { name: 'cut short', body: '01 0000 00', asks: 'error' },
  { name: 'with bytes after it', body: '01 0000 0000 00', asks: 'error' },
]
for (const { name, body, asks } of STATUS_REQUESTS) {
  test(`status_request ${name}`, () => {
    const read = (): boolean => {
      const reader = new Reader(hex(body))
      const asksForOcsp = readStatusRequest(reader)
      reader.end()
      return asksForOcsp
    }
    if (asks === 'error') assert.throws(read, DecodeError)
    else assert.equal(read(), asks)
  })
}

// ── signed certificate timestamps ───────────────────────────────────────────────────────────────────────────────────

interface Sct {
  readonly logId: Uint8Array
  readonly timestampMs: bigint
  readonly extensions: Uint8Array
  readonly signature: Uint8Array
}

function writeSct({ logId, timestampMs, extensions, signature }: Sct, version = 0): Uint8Array {
  const timestamp = Buffer.alloc(8)
  timestamp.writeBigUInt64BE(timestampMs)
  const writer = new Writer().u8(version).opaque(logId).opaque(timestamp).opaque16(extensions)
  return writer.u16(0x0403).opaque16(signature).finish()
}

const listOf = (...scts: readonly Uint8Array[]): Uint8Array =>
  new Writer().vector16((list) => scts.forEach((bytes) => list.opaque16(bytes))).finish()

// Read as two timestamps of 2023-11-14 22:13:20.123 by openssl 3.0 x509 -text, as an extension of a certificate.
const PAIR = hex(`0072
  0037 00 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 0000018bcfe5687b 0000 0403 0008 3006020101020101
  0037 00 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 0000018bcfe5687b 0000 0403 0008 3006020101020101`)

test('reads a list of two timestamps', () => {
  const logId = Uint8Array.from({ length: 32 }, (_, index) => index)
  const expected = { logId, timestampMs: BigInt(Date.UTC(2023, 10, 14, 22, 13, 20, 123)) }
  assert.deepEqual(readSctList(PAIR), [expected, expected])
})

test('readSctList refuses every strict prefix and a byte too many', () => {
  for (let length = 0; length < PAIR.length; length++) {
    assert.throws(() => readSctList(PAIR.subarray(0, length)), isUnfit, `${length} bytes`)
  }
  assert.throws(() => readSctList(Uint8Array.of(...PAIR, 0)), isUnfit)
})

const plain: Sct = {
  logId: new Uint8Array(32),
  timestampMs: 1n,
  extensions: new Uint8Array(0),
  signature: Uint8Array.of(1),
}
const BAD_LISTS: readonly { name: string; list: Uint8Array; detail: RegExp }[] = [
  { name: 'no timestamp', list: listOf(), detail: /past the end/ },
  { name: 'an empty timestamp', list: listOf(new Uint8Array(0)), detail: /past the end/ },
  { name: 'version 2', list: listOf(writeSct(plain, 1)), detail: /version 2/ },
  {
    name: 'no signature',
    list: listOf(writeSct({ ...plain, signature: new Uint8Array(0) })),
    detail: /without a signature/,
  },
  { name: 'bytes after a signature', list: listOf(Uint8Array.of(...writeSct(plain), 0)), detail: /are left/ },
  {
    name: 'seventeen timestamps',
    list: listOf(...Array.from({ length: 17 }, () => writeSct(plain))),
    detail: /more than 16/,
  },
]
for (const { name, list, detail } of BAD_LISTS) {
  test(`readSctList refuses: ${name}`, () => {
    assert.throws(
      () => readSctList(list),
      (error) => isUnfit(error) && detail.test(String(error)),
    )
  })
}

test('readSctList takes sixteen timestamps', () => {
  assert.equal(readSctList(listOf(...Array.from({ length: 16 }, () => writeSct(plain)))).length, 16)
})

test('readSctList reads what was written', () => {
  const arbitrary: fc.Arbitrary<Sct> = fc.record({
    logId: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    timestampMs: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    extensions: fc.uint8Array({ maxLength: 20 }),
    signature: fc.uint8Array({ minLength: 1, maxLength: 80 }),
  })
  fc.assert(
    fc.property(fc.array(arbitrary, { minLength: 1, maxLength: 16 }), (scts) => {
      const read = readSctList(listOf(...scts.map((sct) => writeSct(sct))))
      assert.deepEqual(
        read.map(({ logId, timestampMs }) => ({ logId: new Uint8Array(logId), timestampMs })),
        scts.map(({ logId, timestampMs }) => ({ logId, timestampMs })),
      )
    }),
  )
})

// ── OCSP ────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('an OCSP response of OpenSSL passes', () => {
  assert.doesNotThrow(() => checkOcspResponse(ocspResponse))
})

test('every strict prefix of an OCSP response and a byte too many are refused', () => {
  for (let length = 0; length < ocspResponse.length; length++) {
    assert.throws(() => checkOcspResponse(ocspResponse.subarray(0, length)), isUnfit, `${length} bytes`)
  }
  assert.throws(() => checkOcspResponse(Uint8Array.of(...ocspResponse, 0)), isUnfit)
})

/** ResponseBytes of a basic response that is an empty SEQUENCE. */
const BASIC = 'a0 11 30 0f 06 09 2b0601050507300101 04 02 3000'
const OCSP_CASES: readonly { name: string; response: string; detail: RegExp | undefined }[] = [
  { name: 'the smallest', response: `30 16 0a 01 00 ${BASIC}`, detail: undefined },
  { name: 'tryLater', response: '30 03 0a 01 03', detail: /no answer: tryLater/ },
  { name: 'unauthorized', response: '30 03 0a 01 06', detail: /no answer: unauthorized/ },
  { name: 'a status nobody knows', response: '30 03 0a 01 63', detail: /no answer: 99/ },
  { name: 'a status of two bytes', response: `30 17 0a 02 00 00 ${BASIC}`, detail: /are left/ },
  { name: 'successful without an answer', response: '30 03 0a 01 00', detail: /past the end/ },
  { name: 'bytes after responseBytes', response: `30 18 0a 01 00 ${BASIC} 05 00`, detail: /are left/ },
  {
    name: 'another response type',
    response: '30 16 0a 01 00 a0 11 30 0f 06 09 2b0601050507300102 04 02 3000',
    detail: /not a basic response/,
  },
  {
    name: 'an empty basic response',
    response: '30 14 0a 01 00 a0 0f 30 0d 06 09 2b0601050507300101 04 00',
    detail: /past the end/,
  },
  { name: 'indefinite length', response: `30 80 0a 01 00 ${BASIC} 0000`, detail: /length form 128/ },
  { name: 'PEM', response: '2d2d2d2d2d424547494e', detail: /past the end/ },
]
for (const { name, response, detail } of OCSP_CASES) {
  test(`OCSP response: ${name}`, () => {
    const check = (): void => checkOcspResponse(hex(response))
    if (detail === undefined) assert.doesNotThrow(check)
    else assert.throws(check, (error) => isUnfit(error) && detail.test(String(error)))
  })
}

test('OCSP response: one byte above the limit', () => {
  assert.throws(() => checkOcspResponse(new Uint8Array(16_385)), /at most 16384/)
})

test('any bytes are an OCSP response, a list of timestamps, or unfit', () => {
  const base = fc.constantFrom(ocspResponse, PAIR)
  const mutated = fc.tuple(base, fc.nat(), fc.nat(255)).map(([bytes, at, value]) => {
    const copy = new Uint8Array(bytes)
    copy[at % copy.length] = value
    return copy
  })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), mutated), (bytes) => {
      for (const read of [readSctList, checkOcspResponse]) {
        try {
          read(bytes)
        } catch (error) {
          assert.ok(isUnfit(error), String(error))
        }
      }
    }),
  )
})

// Which form of the Certificate message a client gets. RFC 8446 §4.4.2.1, RFC 6962 §3.3, RFC 8879.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createCertificateStore, createTicketKeyring, loadCredential, TicketSealer } from '@latchkey/tls'
import { concat, toHex, u16, u8, vector16, vector24, vector8 } from './support/bytes.ts'
import { testCertificate } from './support/certificate.ts'
import type { Extension } from './support/client-hello.ts'
import { EXTENSION, MESSAGE } from './support/code-points.ts'
import { testContext, Wire, Wire12 } from './support/harness.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import { defaultHello12 } from './support/test-client12.ts'

/** The smallest successful OCSPResponse: a basic response that is an empty SEQUENCE. */
const ocsp = new Uint8Array(Buffer.from('30160a0100a011300f06092b060105050730010104023000', 'hex'))
/** One timestamp of version 1. */
const sct = vector16(
  vector16(u8(0), new Uint8Array(32).fill(7), new Uint8Array(8), u16(0), u16(0x0403), vector16(u8(1))),
)

const tickets = new TicketSealer({
  keyring: createTicketKeyring({ clock: Date.now }),
  random: (count) => new Uint8Array(randomBytes(count)),
  clock: Date.now,
})
const chain = testCertificate('rsa2048').chainPem
const stapled = loadCredential({ chain, ocsp, sct })
const plain = loadCredential({ chain })
const contextOf = (credential: typeof stapled) =>
  testContext({ certificates: createCertificateStore({ hosts: [], default: [credential] }), tickets })
const contexts = { stapled: contextOf(stapled), plain: contextOf(plain) }

const STATUS_REQUEST: Extension = { type: EXTENSION.status_request, body: concat(u8(1), u16(0), u16(0)) }
const TIMESTAMPS: Extension = { type: EXTENSION.signed_certificate_timestamp, body: new Uint8Array(0) }
const compressions = (...codes: number[]): Extension => ({
  type: EXTENSION.compress_certificate,
  body: vector8(...codes.map(u16)),
})
const OCSP_STATUS = toHex(concat(u8(1), vector24(ocsp)))

const FORMS: readonly {
  name: string
  credential: keyof typeof contexts
  extra: readonly Extension[]
  staples: readonly [number, string][]
  compression?: number
}[] = [
  { name: 'who asks for nothing gets nothing', credential: 'stapled', extra: [], staples: [] },
  {
    name: 'OCSP',
    credential: 'stapled',
    extra: [STATUS_REQUEST],
    staples: [[EXTENSION.status_request, OCSP_STATUS]],
  },
  {
    name: 'timestamps',
    credential: 'stapled',
    extra: [TIMESTAMPS],
    staples: [[EXTENSION.signed_certificate_timestamp, toHex(sct)]],
  },
  {
    name: 'both, compressed with brotli, which is first with us',
    credential: 'stapled',
    extra: [STATUS_REQUEST, TIMESTAMPS, compressions(1, 2)],
    staples: [
      [EXTENSION.status_request, OCSP_STATUS],
      [EXTENSION.signed_certificate_timestamp, toHex(sct)],
    ],
    compression: 2,
  },
  { name: 'zlib alone', credential: 'plain', extra: [compressions(1)], staples: [], compression: 1 },
  {
    name: 'an unknown algorithm and GREASE',
    credential: 'plain',
    extra: [compressions(3, 0x1a1a)],
    staples: [],
  },
  {
    name: 'asked, and there is nothing',
    credential: 'plain',
    extra: [STATUS_REQUEST, TIMESTAMPS],
    staples: [],
  },
  {
    name: 'another status type',
    credential: 'stapled',
    extra: [{ type: EXTENSION.status_request, body: u8(9) }],
    staples: [],
  },
]

for (const { name, credential, extra, staples, compression } of FORMS) {
  test(`the Certificate message: ${name}`, () => {
    const wire = new Wire({ context: contexts[credential], hello: { extra } }).start()
    assertEstablished(wire)
    assert.deepEqual(
      Array.from(wire.client.leafExtensions, ([type, body]) => [type, toHex(body)]),
      staples,
    )
    assert.equal(wire.client.compression, compression)
    assert.equal(wire.client.chain.length, 2)
  })
}

for (const { name, credential, extra, staples } of FORMS) {
  test(`TLS 1.2: ${name}, and not again in a resumption`, () => {
    const context = contexts[credential]
    const asked = defaultHello12({ hasSessionTicket: true })
    const wire = new Wire12({ context, hello: { extra: [...asked.extra, ...extra] } }).start()
    assertEstablished(wire)
    const expected = new Map(staples)
    assert.equal(wire.client.ocsp !== undefined, expected.has(EXTENSION.status_request))
    if (wire.client.ocsp !== undefined) assert.equal(toHex(wire.client.ocsp), toHex(ocsp))
    const timestamps = wire.client.extensions.get(EXTENSION.signed_certificate_timestamp)
    assert.equal(timestamps && toHex(timestamps), expected.get(EXTENSION.signed_certificate_timestamp))

    const { session } = wire.client
    assert.ok(session !== undefined)
    const again = defaultHello12({ session })
    const resumed = new Wire12({ context, session, hello: { extra: [...again.extra, ...extra] } }).start()
    assertEstablished(resumed)
    assert.ok(resumed.client.isResumed)
    assert.equal(resumed.client.ocsp, undefined)
    assert.equal(resumed.client.extensions.has(EXTENSION.signed_certificate_timestamp), false)
  })
}

test('forms are made once: the same bytes again', () => {
  const wishes = { requestsOcsp: true, requestsTimestamps: false, certificateCompressions: [2] }
  assert.equal(stapled.certificateMessages.select(wishes), stapled.certificateMessages.select(wishes))
  assert.equal(stapled.certificateMessages.select(wishes)[0], MESSAGE.compressed_certificate)
})

test('what cannot be stapled is refused when the credential is loaded', () => {
  const isUnfit = { code: 'ERR_TLS_CREDENTIAL' }
  assert.throws(() => loadCredential({ chain, ocsp: ocsp.subarray(1) }), isUnfit)
  assert.throws(() => loadCredential({ chain, sct: sct.subarray(1) }), isUnfit)
})

const MALFORMED: readonly {
  name: string
  extension: Extension
  alert: 'decode_error' | 'illegal_parameter'
}[] = [
  { name: 'compress_certificate: empty', extension: compressions(), alert: 'decode_error' },
  {
    name: 'compress_certificate: an odd byte',
    extension: { type: EXTENSION.compress_certificate, body: vector8(u8(0)) },
    alert: 'decode_error',
  },
  { name: 'compress_certificate: one twice', extension: compressions(2, 2), alert: 'illegal_parameter' },
  {
    name: 'status_request: cut off',
    extension: { type: EXTENSION.status_request, body: concat(u8(1), u16(0)) },
    alert: 'decode_error',
  },
  {
    name: 'signed_certificate_timestamp: a body',
    extension: { type: EXTENSION.signed_certificate_timestamp, body: u8(0) },
    alert: 'decode_error',
  },
]
for (const { name, extension, alert } of MALFORMED) {
  test(`refused: ${name}`, () => {
    assertRefused(new Wire({ hello: { extra: [extension] } }).start(), alert)
  })
}

// Lengths of a ClientHello that lie, and the most a ClientHello may hold.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat, patched, toHex, u16, u8 } from './support/bytes.ts'
import { encodeHello, encodeHelloBody, type Hello, message } from './support/client-hello.ts'
import { clientKey } from './support/client-crypto.ts'
import { type AlertText, EXTENSION, GROUP, MESSAGE, RECORD, SCHEME, SUITE } from './support/code-points.ts'
import { testContext, Wire } from './support/harness.ts'
import { lengthFields } from './support/length-fields.ts'
import { assertRefused } from './support/outcome.ts'
import { TestClient } from './support/test-client.ts'

// ── lengths ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('row 17: every truncation of a ClientHello is refused', () => {
  const { hello } = new TestClient({ hello: { alpn: ['http/1.1'] } })
  const body = encodeHelloBody(hello)
  const extensionsAt = encodeHelloBody({ ...hello, arrange: () => [] }).length - 2
  const context = testContext({ minVersion: 'TLSv1.3' })
  for (let length = 0; length < body.length; length++) {
    const wire = new Wire({ context })
    wire.client.start(message(MESSAGE.client_hello, body.subarray(0, length)))
    // Without an extension block it is a hello of TLS 1.2 (RFC 5246 §7.4.1.2).
    assertRefused(wire.run(), length === extensionsAt ? 'protocol_version' : 'decode_error')
  }
})

test('row 18: a ClientHello with a byte more is refused', () => {
  const wire = new Wire()
  wire.client.start(message(MESSAGE.client_hello, concat(encodeHelloBody(wire.client.hello), u8(0))))
  assertRefused(wire.run(), 'decode_error')
})

test('an unfinished ClientHello is waited for in silence', () => {
  const hello = encodeHello(new TestClient().hello)
  for (let length = 1; length < hello.length; length += 13) {
    const wire = new Wire()
    wire.client.plain(RECORD.handshake, hello.subarray(0, length))
    wire.run()
    assert.equal(wire.writes.length, 0)
    assert.equal(wire.closedCount, 0)
    assert.equal(wire.signCalls.length, 0)
  }
})

test('row 18: every length field of a ClientHello one more, one less, zero or at its maximum is refused', () => {
  const { hello } = new TestClient({
    hello: { alpn: ['h2', 'http/1.1'] },
    shares: [GROUP.x25519, GROUP.secp256r1],
  })
  const body = encodeHelloBody(hello)
  const fields = lengthFields(body)
  assert.equal(fields.length, 21)
  for (const { name, at, width, isInner } of fields) {
    const value = width === 1 ? (body[at] as number) : ((body[at] as number) << 8) | (body[at + 1] as number)
    const limit = width === 1 ? 0xff : 0xffff
    for (const lie of new Set([value + 1, value - 1, 0, limit])) {
      if (lie < 0 || lie === value) continue
      const bytes = patched(body, at, ...(width === 1 ? u8(lie) : u16(lie)))
      const wire = new Wire()
      wire.client.start(message(MESSAGE.client_hello, bytes))
      wire.run()
      const alert = wire.client.alerts[0]?.name
      // The outer lengths shift all that follows: what is wrong first is then a matter of chance.
      const allowed = isInner ? ['decode_error', 'illegal_parameter'] : ALL_REFUSALS
      assert.ok(
        allowed.includes(alert ?? ''),
        `${name} ${value} → ${lie}: ${alert}, ${toHex(bytes.subarray(at, at + 8))}`,
      )
      assertRefused(wire, alert as AlertText)
    }
  }
})

const ALL_REFUSALS = [
  'decode_error',
  'illegal_parameter',
  'missing_extension',
  'protocol_version',
  'handshake_failure',
]

test('row 18: the length of the handshake message itself may not lie', () => {
  const hello = encodeHello(new TestClient().hello)
  const rows: readonly { readonly length: number; readonly alerts: readonly string[] }[] = [
    { length: hello.length - 5, alerts: ['decode_error', 'unexpected_message'] },
    { length: 0, alerts: ['decode_error', 'unexpected_message'] },
    { length: 0x4001, alerts: ['illegal_parameter'] },
    { length: 0xffffff, alerts: ['illegal_parameter'] },
  ]
  for (const { length, alerts } of rows) {
    const wire = new Wire()
    wire.client.start(patched(hello, 1, length >>> 16, length >>> 8, length))
    wire.run()
    assert.ok(alerts.includes(wire.alert ?? ''), `${length}: ${wire.alert}`)
    assertRefused(wire, wire.alert as AlertText)
  }
})

// ── limits ──────────────────────────────────────────────────────────────────────────────────────

/** `count` code points that nobody uses, then `last`. */
function filled(count: number, last: number): number[] {
  return [...Array.from({ length: count - 1 }, (_, index) => 0xe000 + index), last]
}

/** 16 fixed groups and one share each, of which one is real. */
function manyShares(count: number): Partial<Hello> {
  const groups = filled(count, GROUP.x25519)
  return { groups, keyShares: groups.map((group) => ({ group, share: clientKey(group).share })) }
}

function manyExtensions(count: number): Partial<Hello> {
  return {
    arrange: (all) => [
      ...all,
      ...Array.from({ length: count - all.length }, (_, index) => ({
        type: 0xe000 + index,
        body: new Uint8Array(0),
      })),
    ],
  }
}

/** A hello whose whole message, header included, has `bytes` bytes. */
function ofSize(bytes: number): Partial<Hello> {
  const base = encodeHello(
    new TestClient({ hello: { extra: [{ type: 21, body: new Uint8Array(0) }] } }).hello,
  )
  return { extra: [{ type: EXTENSION.padding, body: new Uint8Array(bytes - base.length) }] }
}

const LIMITS: readonly {
  readonly name: string
  readonly limit: number
  readonly hello: (count: number) => Partial<Hello>
}[] = [
  {
    name: 'cipher suites',
    limit: 512,
    hello: (count) => ({ suites: filled(count, SUITE.TLS_AES_128_GCM_SHA256) }),
  },
  { name: 'extensions', limit: 128, hello: manyExtensions },
  { name: 'key shares', limit: 16, hello: manyShares },
  {
    name: 'ALPN names',
    limit: 32,
    hello: (count) => ({
      alpn: [...Array.from({ length: count - 1 }, (_, index) => `p${index}`), 'http/1.1'],
    }),
  },
  { name: 'groups', limit: 64, hello: (count) => ({ groups: filled(count, GROUP.x25519) }) },
  {
    name: 'schemes',
    limit: 128,
    hello: (count) => ({ schemes: filled(count, SCHEME.ecdsa_secp256r1_sha256) }),
  },
  { name: 'body bytes', limit: 16_384, hello: (count) => ofSize(count + 4) },
]

for (const { name, limit, hello } of LIMITS) {
  test(`row 43: a ClientHello may have ${limit} ${name}, not one more`, () => {
    const at = new Wire()
    sendInRecords(at, hello(limit))
    assert.equal(at.error, undefined)
    assert.equal(at.establishedCount, 1)
    const over = new Wire()
    sendInRecords(over, hello(limit + 1))
    assertRefused(over, 'illegal_parameter')
  })
}

/** A hello may be longer than a record. */
function sendInRecords(wire: Wire, changes: Partial<Hello>): void {
  const { client } = wire
  const own = changes.keyShares === undefined ? {} : ownShare(changes, client)
  client.hello = { ...client.hello, ...changes, ...own }
  const bytes = client.noteHello()
  for (let at = 0; at < bytes.length; at += 16_384) {
    client.plain(RECORD.handshake, bytes.subarray(at, at + 16_384), 0x0301)
  }
  wire.run()
}

/** Puts the client's own X25519 share in place of the made-up one. */
function ownShare({ keyShares }: Partial<Hello>, client: TestClient): Partial<Hello> {
  const own = client.hello.keyShares?.[0]
  return {
    keyShares: keyShares?.map((entry) => (entry.group === GROUP.x25519 && own !== undefined ? own : entry)),
  }
}

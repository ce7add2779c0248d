// Handshake messages at the wrong time, or of the wrong form. RFC 8446 §4, §4.4.4, §4.6.3.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat, flipped, u8, vector24 } from './support/bytes.ts'
import { encodeHello, message } from './support/client-hello.ts'
import { type AlertText, MESSAGE, RECORD, SUITE } from './support/code-points.ts'
import { Wire, establishedWire, unfinishedWire } from './support/harness.ts'
import { assertRefused } from './support/outcome.ts'

const AFTER_HELLO = { signCalls: 1, encrypted: true } as const
const TYPES = [...Object.values(MESSAGE), 0, 3, 6, 9, 12, 14, 16, 17, 21, 22, 23, 25, 67, 203, 255]
const BODIES: readonly Uint8Array[] = [new Uint8Array(0), new Uint8Array(4), new Uint8Array(500).fill(1)]

// ── the wrong message ─────────────────────────────────────────────────────────────────────────────────────────────

test('row 14: no other message opens a connection', () => {
  for (const type of TYPES.filter((other) => other !== MESSAGE.client_hello)) {
    for (const body of BODIES) {
      const wire = new Wire()
      wire.client.plain(RECORD.handshake, message(type, body))
      assertRefused(wire.run(), 'unexpected_message')
    }
  }
})

test('row 14: while the signature is waited for, no handshake message is due', () => {
  for (const type of TYPES) {
    const wire = new Wire({ signing: 'hold' }).start()
    wire.client.seal(RECORD.handshake, message(type, new Uint8Array(0)))
    assertRefused(wire.run(), 'unexpected_message', AFTER_HELLO)
    assert.deepEqual(
      wire.cancelled,
      wire.signCalls.map(({ id }) => id),
    )
  }
})

test('row 14: nothing but Finished finishes a handshake', () => {
  for (const type of TYPES.filter((other) => other !== MESSAGE.finished)) {
    for (const body of BODIES) {
      const wire = unfinishedWire()
      wire.client.seal(RECORD.handshake, message(type, body))
      assertRefused(wire.run(), 'unexpected_message', AFTER_HELLO)
      assert.equal(wire.establishedCount, 0)
    }
  }
})

test('row 36: after the handshake a client may send KeyUpdate and nothing else', () => {
  for (const type of TYPES.filter((other) => other !== MESSAGE.key_update)) {
    for (const body of BODIES) {
      const wire = establishedWire()
      wire.client.seal(RECORD.handshake, message(type, body))
      assertRefused(wire.run(), 'unexpected_message', AFTER_HELLO)
    }
  }
})

test('row 14: a wrong message is refused by its first byte, before its length is believed', () => {
  const plain = new Wire()
  plain.client.plain(RECORD.handshake, u8(MESSAGE.certificate))
  assertRefused(plain.run(), 'unexpected_message')
  const wire = unfinishedWire()
  wire.client.seal(RECORD.handshake, u8(MESSAGE.certificate))
  assertRefused(wire.run(), 'unexpected_message', AFTER_HELLO)
})

test('row 13: a second ClientHello without a retry is refused, plain or protected', () => {
  for (const signing of ['hold', 'after'] as const) {
    const again = new Wire({ signing, autoFinish: false }).start()
    again.client.seal(RECORD.handshake, encodeHello(again.client.hello))
    assertRefused(again.run(), 'unexpected_message', AFTER_HELLO)
    const plain = new Wire({ signing, autoFinish: false }).start()
    plain.client.plain(RECORD.handshake, encodeHello(plain.client.hello))
    assertRefused(plain.run(), 'unexpected_message', AFTER_HELLO)
  }
})

test('row 13: a third ClientHello after a retry is refused', () => {
  const wire = new Wire({ shares: [], autoFinish: false }).start()
  assert.equal(wire.client.retries, 1)
  wire.client.plain(RECORD.handshake, encodeHello(wire.client.hello))
  assertRefused(wire.run(), 'unexpected_message', AFTER_HELLO)
})

// ── Finished ──────────────────────────────────────────────────────────────────────────────────────────────────────

test('row 14: a Finished with any byte changed is refused', () => {
  for (const suite of [SUITE.TLS_AES_128_GCM_SHA256, SUITE.TLS_AES_256_GCM_SHA384]) {
    const length = suite === SUITE.TLS_AES_256_GCM_SHA384 ? 48 : 32
    for (let at = 0; at < length; at++) {
      const wire = unfinishedWire({ hello: { suites: [suite] } })
      wire.client.seal(RECORD.handshake, flipped(wire.client.finishedMessage(), 4 + at))
      assertRefused(wire.run(), 'decrypt_error', AFTER_HELLO)
      assert.equal(wire.establishedCount, 0)
    }
  }
})

test('row 14: a Finished of the wrong length is refused', () => {
  for (const suite of [SUITE.TLS_AES_128_GCM_SHA256, SUITE.TLS_AES_256_GCM_SHA384]) {
    for (const length of [0, 1, 12, 31, 33, 47, 49, 64]) {
      const wire = unfinishedWire({ hello: { suites: [suite] } })
      wire.client.seal(RECORD.handshake, message(MESSAGE.finished, new Uint8Array(length)))
      assertRefused(wire.run(), 'decode_error', AFTER_HELLO)
    }
  }
})

test('row 14: a Finished that announces 2^24 bytes is refused at once', () => {
  const wire = unfinishedWire()
  wire.client.seal(RECORD.handshake, Uint8Array.of(MESSAGE.finished, 0xff, 0xff, 0xff))
  wire.run()
  assertRefused(wire, wire.alert as AlertText, AFTER_HELLO)
  assert.ok(['decode_error', 'illegal_parameter'].includes(wire.alert ?? ''))
})

test("row 14: the server's own Finished is not the client's", () => {
  const wire = unfinishedWire()
  const own = wire.client.messages.find(({ type }) => type === MESSAGE.finished)
  wire.client.seal(RECORD.handshake, message(MESSAGE.finished, own?.body ?? u8(0)))
  assertRefused(wire.run(), 'decrypt_error', AFTER_HELLO)
})

test('row 14: a Finished over another transcript is refused', () => {
  const wire = unfinishedWire()
  const [first, ...rest] = wire.client.transcript
  wire.client.transcript = [flipped(first as Uint8Array, 10), ...rest]
  wire.client.finish()
  assertRefused(wire.run(), 'decrypt_error', AFTER_HELLO)
})

// ── KeyUpdate ─────────────────────────────────────────────────────────────────────────────────────────────────────

const KEY_UPDATES: readonly {
  readonly name: string
  readonly body: Uint8Array
  readonly alert: AlertText
}[] = [
  { name: 'value 2', body: u8(2), alert: 'illegal_parameter' },
  { name: 'value 255', body: u8(255), alert: 'illegal_parameter' },
  { name: 'no bytes', body: new Uint8Array(0), alert: 'decode_error' },
  { name: 'two bytes', body: Uint8Array.of(0, 0), alert: 'decode_error' },
]

for (const { name, body, alert } of KEY_UPDATES) {
  test(`row 35: KeyUpdate with ${name}`, () => {
    const wire = establishedWire()
    wire.client.seal(RECORD.handshake, message(MESSAGE.key_update, body))
    assertRefused(wire.run(), alert, AFTER_HELLO)
  })
}

test('row 35: a KeyUpdate before Finished is refused', () => {
  for (const requested of [0, 1]) {
    const wire = unfinishedWire()
    wire.client.seal(RECORD.handshake, message(MESSAGE.key_update, u8(requested)))
    assertRefused(wire.run(), 'unexpected_message', AFTER_HELLO)
  }
})

test('row 35: 33 KeyUpdates in a row are refused, empty records between them or not', () => {
  for (const isPadded of [false, true]) {
    const wire = establishedWire()
    for (let count = 0; count < 33; count++) {
      if (isPadded && count % 4 === 0) wire.client.send(new Uint8Array(0))
      wire.client.updateKeys(1)
    }
    assertRefused(wire.run(), 'unexpected_message', AFTER_HELLO)
  }
})

test('row 36: a certificate from a client that nobody asked is refused', () => {
  const wire = unfinishedWire()
  wire.client.seal(RECORD.handshake, message(MESSAGE.certificate, concat(u8(0), vector24())))
  assertRefused(wire.run(), 'unexpected_message', AFTER_HELLO)
})

// Ends that the client or the transport brings. RFC 8446 §6.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TlsError } from '@latchkey/tls'
import { ascii } from './support/bytes.ts'
import { encodeHello } from './support/client-hello.ts'
import { ALERT, RECORD } from './support/code-points.ts'
import { Wire, establishedWire, unfinishedWire } from './support/harness.ts'
import { assertOver, assertRefused } from './support/outcome.ts'

const ENDS: Readonly<Record<string, () => Wire>> = {
  'before the second hello': () => new Wire({ shares: [], autoRetry: false }).start(),
  'while the signature is waited for': () => new Wire({ signing: 'hold' }).start(),
  'before Finished': () => unfinishedWire(),
  established: () => establishedWire(),
}

/** The peer has spoken: nothing is sent back, and nobody signs for it any more. */
function assertPeerAlert(wire: Wire, name: string): void {
  assert.ok(wire.error instanceof TlsError)
  assert.equal(wire.error.code, 'ERR_TLS_PEER_ALERT')
  assert.equal(wire.error.alert, undefined)
  assert.ok(wire.error.message.includes(name), wire.error.message)
  assert.deepEqual(wire.client.alerts, [])
  assertOver(wire)
}

for (const [state, reach] of Object.entries(ENDS)) {
  test(`row 39: a fatal alert of the client ends the connection (${state})`, () => {
    // RFC 8446 §6: the level byte is of no meaning.
    for (const level of [1, 2, 0, 255]) {
      for (const name of ['bad_certificate', 'unknown_ca', 'handshake_failure', 'internal_error'] as const) {
        const wire = reach()
        wire.client.alert(ALERT[name], level)
        assertPeerAlert(wire.run(), name)
      }
    }
  })

  test(`row 39: an alert nobody knows is fatal too (${state})`, () => {
    for (const code of [1, 41, 99, 255]) {
      const wire = reach()
      wire.client.alert(code, 1)
      assertPeerAlert(wire.run(), String(code))
    }
  })
}

test('row 39: close_notify during the handshake ends it without an answer', () => {
  for (const state of Object.keys(ENDS).filter((name) => name !== 'established')) {
    const wire = ENDS[state]?.()
    assert.ok(wire !== undefined)
    wire.client.alert(ALERT.close_notify, 1)
    assertPeerAlert(wire.run(), 'close_notify')
  }
})

test('row 39: a client that cannot read ServerHello may say so without keys', () => {
  for (const state of ['while the signature is waited for', 'before Finished']) {
    const wire = ENDS[state]?.()
    assert.ok(wire !== undefined)
    wire.client.plain(RECORD.alert, Uint8Array.of(2, ALERT.illegal_parameter))
    assertPeerAlert(wire.run(), 'illegal_parameter')
  }
})

test('row 39: an alert as the first record is no TLS', () => {
  const wire = new Wire()
  wire.client.alert(ALERT.internal_error)
  assertRefused(wire.run(), undefined)
})

test('row 39: user_canceled is ignored four times, not for ever', () => {
  const wire = establishedWire()
  for (let count = 0; count < 4; count++) wire.client.alert(ALERT.user_canceled, 1)
  wire.run()
  assert.equal(wire.closedCount, 0)
  wire.client.alert(ALERT.user_canceled, 1)
  wire.run()
  assert.ok(wire.error instanceof TlsError)
  assertOver(wire)
})

// ── ends of the transport ─────────────────────────────────────────────────────────────────────────────────────────

test('row 40: the end of the transport ends the connection in every state, in silence', () => {
  const fresh = (): Wire => new Wire()
  for (const [state, reach] of Object.entries({ 'before the hello': fresh, ...ENDS })) {
    const wire = reach()
    const { length } = wire.writes
    wire.server.transportEnded()
    wire.run()
    assert.ok(wire.error instanceof TlsError, state)
    assert.equal(wire.error.alert, undefined)
    assert.equal(wire.writes.length, length)
    assertOver(wire)
  }
})

test('row 40: the end of the transport without close_notify is a truncation', () => {
  const wire = establishedWire()
  wire.client.send(ascii('half of a'))
  wire.run()
  wire.server.transportEnded()
  assert.equal(wire.error?.code, 'ERR_TLS_TRUNCATED')
})

test('row 40: the end of the transport in the middle of a record or message is an end like any other', () => {
  const wire = new Wire()
  wire.deliver(encodeHello(wire.client.hello).subarray(0, 3))
  wire.server.transportEnded()
  assert.ok(wire.error instanceof TlsError)
  const half = new Wire()
  half.client.plain(RECORD.handshake, encodeHello(half.client.hello).subarray(0, 60))
  half.run()
  half.server.transportEnded()
  assert.ok(half.error instanceof TlsError)
  assert.equal(half.signCalls.length, 0)
})

test('the end of the transport after close_notify is no error', () => {
  const wire = establishedWire()
  wire.client.alert(ALERT.close_notify, 1)
  wire.run()
  wire.server.transportEnded()
  assert.equal(wire.error, undefined)
})

// How a handshake or a connection ends, seen from both ends. RFC 8446 §6.2.
import assert from 'node:assert/strict'
import { TlsError } from '@latchkey/tls'
import { ascii } from './bytes.ts'
import type { AlertText } from './code-points.ts'
import type { WireClient, WireOf } from './harness.ts'

export interface RefusalOptions {
  /** How many signatures may have been asked for by then. Default 0. */
  readonly signCalls?: number
  /** Whether the alert must be protected. Default: no. */
  readonly encrypted?: boolean
}

/** The connection is over: `alert` is what the client was told, undefined: nothing at all. */
export function assertRefused(
  wire: WireOf<WireClient>,
  alert: AlertText | undefined,
  { signCalls = 0, encrypted = false }: RefusalOptions = {},
): void {
  assert.ok(wire.error instanceof TlsError, `closed with ${String(wire.error)}`)
  const expected = alert === undefined ? [] : [{ level: 2, name: alert, encrypted }]
  assert.deepEqual(wire.client.alerts, expected, wire.error.message)
  assert.equal(wire.error.alert, alert, wire.error.message)
  assert.equal(wire.signCalls.length, signCalls, 'sign requests')
  assertOver(wire)
}

/** Nothing comes after the end, and nobody is asked to sign for it any more. */
export function assertOver(wire: WireOf<WireClient>): void {
  assert.equal(wire.closedCount, 1)
  assert.deepEqual(wire.lateEvents, [])
  const open = [...wire.signCalls, ...wire.decryptCalls].filter(
    ({ id }) => !wire.answered.has(id) && !wire.cancelled.includes(id),
  )
  assert.deepEqual(open, [], 'requests nobody cancelled')
  const { length } = wire.writes
  wire.deliver(new Uint8Array(100).fill(0x16))
  wire.server.send([new Uint8Array(10)])
  wire.server.close()
  wire.server.transportEnded()
  assert.equal(wire.writes.length, length, 'output after the end')
  assert.equal(wire.closedCount, 1)
}

/** Both sides are through, and data flows both ways. */
export function assertEstablished(wire: WireOf<WireClient>): void {
  assert.equal(wire.error, undefined)
  assert.equal(wire.alert, undefined)
  assert.equal(wire.establishedCount, 1)
  assert.equal(wire.client.state, 'connected')
  wire.client.send(ascii('ping'))
  wire.run()
  assert.equal(Buffer.from(wire.received).toString(), 'ping')
  wire.server.send([ascii('po'), ascii('ng')])
  wire.run()
  assert.equal(Buffer.from(wire.client.received).toString(), 'pong')
}

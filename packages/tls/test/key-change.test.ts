// Where keys change: messages that straddle the change, how much one key may protect, and that no nonce is used twice.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { u8 } from './support/bytes.ts'
import { message } from './support/client-hello.ts'
import { MESSAGE, RECORD, SUITE, SUITE12 } from './support/code-points.ts'
import { establishedWire, testContext, unfinishedWire, Wire12 } from './support/harness.ts'
import { assertRefused } from './support/outcome.ts'
import { HEADER_BYTES, NonceWatch, RECORD_BYTES, updateKeys, watch, watchNonces } from './support/soak.ts'

const AFTER_HELLO = { signCalls: 1, encrypted: true } as const

// ── row 16: RFC 8446 §5.1, "Handshake messages MUST NOT span key changes" ────────────────────────────────────────

test('row 16: a Finished that begins under the handshake key and ends under the application key', () => {
  for (const at of [1, 4, 20, 35]) {
    const wire = unfinishedWire()
    const finished = wire.client.finishedMessage()
    wire.client.seal(RECORD.handshake, finished.subarray(0, at)).finished(finished)
    wire.client.seal(RECORD.handshake, finished.subarray(at))
    assertRefused(wire.run(), 'bad_record_mac', AFTER_HELLO)
    assert.equal(wire.establishedCount, 0)
  }
})

test('row 16: a KeyUpdate that begins under one key and ends under the next', () => {
  for (let at = 1; at < 5; at++) {
    const wire = establishedWire()
    const update = message(MESSAGE.key_update, u8(0))
    wire.client.seal(RECORD.handshake, update.subarray(0, at))
    wire.client.writeKeys = wire.client.writer.next()
    wire.client.seal(RECORD.handshake, update.subarray(at))
    assertRefused(wire.run(), 'bad_record_mac', AFTER_HELLO)
  }
})

test('row 16: a second ClientHello that begins before ServerHello and ends after it', () => {
  const wire = unfinishedWire()
  wire.client.plain(RECORD.handshake, u8(MESSAGE.client_hello))
  assertRefused(wire.run(), 'unexpected_message', AFTER_HELLO)
})

test('row 16: the start of a message behind Finished, under the old key', () => {
  const wire = unfinishedWire()
  const old = wire.client.writer
  wire.client.finish().raw(old.seal(RECORD.handshake, u8(MESSAGE.key_update)))
  assertRefused(wire.run(), 'bad_record_mac', AFTER_HELLO)
})

// ── limits of one key ─────────────────────────────────────────────────────────────────────────────────────────────

test('row 43: a key of TLS 1.3 that has protected as many records as it may is replaced, and data goes on', () => {
  const context = testContext()
  const cipherSuites = context.cipherSuites.map((suite) => ({ ...suite, recordLimit: 4 }))
  const wire = establishedWire({ context: { ...context, cipherSuites } })
  for (let count = 0; count < 4; count++) wire.server.send([u8(count)])
  wire.run()
  assert.equal(wire.client.keyUpdates, 0)
  for (let count = 4; count < 13; count++) wire.server.send([u8(count)])
  wire.run()
  // After 4, 8 and 12 records.
  assert.equal(wire.client.keyUpdates, 3)
  assert.deepEqual([...wire.client.received], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
})

test('5000 KeyUpdates over a long transfer', () => {
  updateKeys(5000)
})

// ── row 47: the full count is that of scripts/soak.ts ─────────────────────────────────────────────────────────────

for (const suite of Object.keys(SUITE) as (keyof typeof SUITE)[]) {
  test(`row 47: 30000 records with ${suite}, and no (key, nonce) pair twice, also after KeyUpdate`, () => {
    watchNonces(suite, 30_000, 1000)
  })
}

for (const [name, suite] of Object.entries(SUITE12).filter((entry) => entry[0].includes('ECDSA'))) {
  test(`row 47: 10000 records with ${name}, and no (key, nonce) pair twice`, () => {
    const wire = new Wire12({ hello: { suites: [suite] } }).start()
    const watcher = new NonceWatch(10_000)
    const explicit = name.includes('GCM') ? 8 : 0
    // No content type inside in TLS 1.2.
    watch(wire, watcher, { records: 10_000, recordBytes: RECORD_BYTES - 1 + explicit, explicit })
    assert.equal(wire.error, undefined)
    assert.equal(watcher.count, 10_000)
    assert.equal(watcher.repeats, 0)
  })
}

test('row 47: the watch would see a pair that is used twice', () => {
  const { client } = establishedWire()
  const seal = (sequence: number, type: number, content: Uint8Array): Uint8Array => {
    client.writer.sequence = sequence
    return client.writer.seal(type, content).subarray(HEADER_BYTES)
  }
  const watcher = new NonceWatch(4)
  for (const sequence of [0, 1, 2, 1]) watcher.seeZeros(seal(sequence, RECORD.data, new Uint8Array(8)))
  assert.equal(watcher.repeats, 1)
  watcher.seeKeyUpdate(seal(3, RECORD.handshake, message(MESSAGE.key_update, u8(0))))
  assert.equal(watcher.repeats, 1)
  watcher.seeKeyUpdate(seal(2, RECORD.handshake, message(MESSAGE.key_update, u8(0))))
  assert.equal(watcher.repeats, 2)
})

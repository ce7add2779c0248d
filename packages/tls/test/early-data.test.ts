// Early data that nobody accepts: skipped within limits. RFC 8446 §4.2.10.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ascii, concat, toHex, u16, u8, vector16 } from './support/bytes.ts'
import { type Hello } from './support/client-hello.ts'
import { EXTENSION, RECORD } from './support/code-points.ts'
import { Wire, type WireOptions } from './support/harness.ts'
import { offeredPsks } from './support/offered-psks.ts'
import { assertRefused } from './support/outcome.ts'

/** A client whose first hello has no share. */
function retrying(options: WireOptions): Wire {
  return new Wire({ shares: [], ...options }).start()
}

function assertAccepted(wire: Wire): void {
  assert.equal(wire.error, undefined)
  assert.equal(wire.establishedCount, 1)
  assert.equal(wire.client.retries, 1)
  assert.equal(wire.session?.usedHelloRetryRequest, true)
}

/** A record as a client would send early data under keys that we do not have. */
function earlyRecord(bytes: number): Uint8Array {
  return concat(u8(RECORD.data), u16(0x0303), vector16(new Uint8Array(bytes).fill(0xed)))
}

const WITH_EARLY_DATA: Partial<Hello> = offeredPsks({ earlyData: true })

test('row 34: early data is skipped up to the first record under handshake keys', () => {
  for (const sizes of [[17], [1000, 2000, 3000], [8187, 8187], [16_379]]) {
    const wire = new Wire({ hello: WITH_EARLY_DATA, autoFinish: false }).start()
    for (const size of sizes) wire.client.raw(earlyRecord(size))
    wire.client.changeCipherSpec().finish().send(ascii('now'))
    wire.run()
    assert.equal(wire.error, undefined)
    assert.equal(wire.establishedCount, 1)
    assert.equal(toHex(wire.received), toHex(ascii('now')))
    assert.equal(wire.client.encryptedExtensions.has(EXTENSION.early_data), false)
  }
})

test('row 34: early data may come while the signature is on its way', () => {
  const wire = new Wire({ hello: WITH_EARLY_DATA, signing: 'hold' })
  wire.client.start().raw(earlyRecord(4000))
  wire.run()
  wire.deliver(earlyRecord(4000))
  const [call] = wire.signCalls
  assert.ok(call !== undefined)
  wire.sign(call)
  wire.run()
  assert.equal(wire.error, undefined)
  assert.equal(wire.establishedCount, 1)
})

test('row 34: more early data than the budget is refused', () => {
  const wire = new Wire({ hello: WITH_EARLY_DATA, signing: 'hold' }).start()
  wire.client.raw(earlyRecord(16_380))
  wire.run()
  assertRefused(wire, 'unexpected_message', { signCalls: 1, encrypted: true })
})

test('row 34: many small records of early data count too', () => {
  const wire = new Wire({ hello: WITH_EARLY_DATA, autoFinish: false }).start()
  for (let count = 0; count < 2000; count++) wire.client.raw(earlyRecord(17))
  wire.run()
  assertRefused(wire, 'unexpected_message', { signCalls: 1, encrypted: true })
})

test('row 34: early data that was not announced is a bad record', () => {
  const wire = new Wire({ autoFinish: false }).start()
  wire.client.raw(earlyRecord(100))
  assertRefused(wire.run(), 'bad_record_mac', { signCalls: 1, encrypted: true })
})

test('row 34: after the first good record there is no tolerance left', () => {
  const wire = new Wire({ hello: WITH_EARLY_DATA }).start()
  assert.equal(wire.establishedCount, 1)
  wire.client.raw(earlyRecord(100))
  assertRefused(wire.run(), 'bad_record_mac', { signCalls: 1, encrypted: true })
})

test('row 34: after a part of Finished there is no tolerance either', () => {
  const wire = new Wire({ hello: WITH_EARLY_DATA, autoFinish: false }).start()
  const finished = wire.client.finishedMessage()
  wire.client.seal(RECORD.handshake, finished.subarray(0, 10)).raw(earlyRecord(100))
  assertRefused(wire.run(), 'bad_record_mac', { signCalls: 1, encrypted: true })
})

test('row 34: early data before the second hello is skipped', () => {
  const wire = retrying({ hello: WITH_EARLY_DATA, autoRetry: false })
  wire.client.hello = { ...wire.client.hello, ...offeredPsks() }
  wire.client.raw(earlyRecord(5000), earlyRecord(5000))
  wire.client.changeCipherSpec().plain(RECORD.handshake, wire.client.noteHello())
  wire.run()
  assertAccepted(wire)
})

test('row 34: more early data than the budget before the second hello is refused', () => {
  const wire = retrying({ hello: WITH_EARLY_DATA, autoRetry: false })
  wire.client.raw(earlyRecord(16_384), earlyRecord(16_384))
  assertRefused(wire.run(), 'unexpected_message')
})

test('row 34: early data between the fragments of the second hello is refused', () => {
  const wire = retrying({ hello: WITH_EARLY_DATA, autoRetry: false })
  wire.client.hello = { ...wire.client.hello, ...offeredPsks() }
  const second = wire.client.noteHello()
  wire.client.plain(RECORD.handshake, second.subarray(0, 100)).raw(earlyRecord(100))
  wire.client.plain(RECORD.handshake, second.subarray(100))
  assertRefused(wire.run(), 'unexpected_message')
})

test('row 34: empty records of early data are not free', () => {
  const wire = retrying({ hello: WITH_EARLY_DATA, autoRetry: false })
  for (let count = 0; count < 10_000; count++) wire.client.raw(earlyRecord(0))
  assertRefused(wire.run(), 'unexpected_message')
})

test('row 34: early data that was not announced before the second hello is refused', () => {
  const wire = retrying({ autoRetry: false })
  wire.client.raw(earlyRecord(100))
  assertRefused(wire.run(), 'unexpected_message')
})

test('row 34: early data after the second hello is a bad record', () => {
  const wire = retrying({ hello: WITH_EARLY_DATA, autoRetry: false, autoFinish: false })
  wire.client.hello = { ...wire.client.hello, ...offeredPsks() }
  wire.client.plain(RECORD.handshake, wire.client.noteHello())
  wire.run()
  wire.client.raw(earlyRecord(100))
  assertRefused(wire.run(), 'bad_record_mac', { signCalls: 1, encrypted: true })
})

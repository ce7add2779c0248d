// Protected records changed, repeated, dropped or swapped on their way. RFC 8446 §5.2, §5.3.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ascii, flipped } from './support/bytes.ts'
import { RECORD } from './support/code-points.ts'
import { Wire, establishedWire, unfinishedWire } from './support/harness.ts'
import { assertRefused } from './support/outcome.ts'

test('row 9: a Finished with any bit changed on its way fails, whatever the bit', () => {
  const record = (wire: Wire): Uint8Array => {
    const finished = wire.client.finishedMessage()
    return wire.client.writer.seal(RECORD.handshake, finished)
  }
  const { length } = record(unfinishedWire())
  for (let at = 0; at < length; at++) {
    const wire = unfinishedWire()
    const good = record(wire)
    wire.client.raw(flipped(good, at, 1 << (at % 8)))
    wire.run()
    assert.equal(wire.establishedCount, 0, `byte ${at}`)
    // The type decides what it is; a longer length is waited for; all else is authenticated.
    if (at >= 1 && at !== 3 && at !== 4) {
      assertRefused(wire, 'bad_record_mac', { signCalls: 1, encrypted: true })
    }
  }
})

test('row 9: data with any bit changed on its way fails, and not a byte of it is handed out', () => {
  const { length } = establishedWire().client.writer.seal(RECORD.data, ascii('secret'))
  for (let at = 5; at < length; at++) {
    const wire = establishedWire()
    wire.client.raw(flipped(wire.client.writer.seal(RECORD.data, ascii('secret')), at, 1 << (at % 8)))
    assertRefused(wire.run(), 'bad_record_mac', { signCalls: 1, encrypted: true })
    assert.equal(wire.data.length, 0)
    // The reason is not for the client, and not for a log that it could read.
    assert.doesNotMatch(String(wire.error?.message), /tag|auth data|unable/i)
  }
})

const REORDERED: Readonly<Record<string, (records: readonly Uint8Array[]) => readonly Uint8Array[]>> = {
  'one again': ([a, b]) => [a, a, b] as Uint8Array[],
  'one dropped': ([, b]) => [b] as Uint8Array[],
  'two swapped': ([a, b]) => [b, a] as Uint8Array[],
}

for (const [name, reorder] of Object.entries(REORDERED)) {
  test(`row 10: records with ${name}`, () => {
    const wire = establishedWire()
    const records = ['first', 'second'].map((text) => wire.client.writer.seal(RECORD.data, ascii(text)))
    wire.client.raw(...reorder(records))
    assertRefused(wire.run(), 'bad_record_mac', { signCalls: 1, encrypted: true })
  })
}

test('row 10: a record of another connection is a bad record', () => {
  const other = establishedWire()
  const wire = establishedWire()
  wire.client.raw(other.client.writer.seal(RECORD.data, ascii('not for you')))
  assertRefused(wire.run(), 'bad_record_mac', { signCalls: 1, encrypted: true })
})

test('row 10: a record under the handshake key after Finished is a bad record', () => {
  const wire = new Wire({ autoFinish: false }).start()
  const old = wire.client.writer
  wire.client.finish()
  wire.run()
  assert.equal(wire.establishedCount, 1)
  wire.client.raw(old.seal(RECORD.data, ascii('late')))
  assertRefused(wire.run(), 'bad_record_mac', { signCalls: 1, encrypted: true })
})

test('row 10: a record under the key before a KeyUpdate is a bad record', () => {
  const wire = establishedWire()
  const old = wire.client.writer
  wire.client.updateKeys(0)
  wire.client.raw(old.seal(RECORD.data, ascii('late')))
  assertRefused(wire.run(), 'bad_record_mac', { signCalls: 1, encrypted: true })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { giveBack, Outgoing } from './outgoing.ts'

const RECORD_BYTES = 16_406

function write(outgoing: Outgoing, ...records: readonly Uint8Array[]): Uint8Array[] {
  for (const record of records) outgoing.reserve(record.length).set(record)
  return outgoing.take()
}
const filled = (bytes: number, value: number): Uint8Array => new Uint8Array(bytes).fill(value)
const isSameMemory = (a: Uint8Array, b: Uint8Array): boolean => a.buffer === b.buffer

test('records of any lengths come out in their order, whatever was given back meanwhile', () => {
  const lengths = fc.array(fc.oneof(fc.nat(300), fc.integer({ min: 4000, max: 17_000 })), { maxLength: 20 })
  fc.assert(
    fc.property(fc.array(lengths, { maxLength: 5 }), (flights) => {
      const outgoing = new Outgoing()
      for (const flight of flights) {
        const records = flight.map((length, index) => filled(length, index + 1))
        const pieces = write(outgoing, ...records)
        assert.deepEqual(Buffer.concat(pieces), Buffer.concat(records))
        pieces.forEach(giveBack)
      }
    }),
    { numRuns: 300 },
  )
})

test('four records of full length are one piece, the fifth begins another', () => {
  const four = Array.from({ length: 4 }, (_, index) => filled(RECORD_BYTES, index))
  const outgoing = new Outgoing()
  assert.equal(write(outgoing, ...four).length, 1)
  assert.equal(write(outgoing, ...four, filled(RECORD_BYTES, 4)).length, 2)
})

test('memory is used again when it was given back, and not before', () => {
  const outgoing = new Outgoing()
  const [first] = write(outgoing, filled(RECORD_BYTES, 1)) as [Uint8Array]
  const [second] = write(outgoing, filled(RECORD_BYTES, 2)) as [Uint8Array]
  assert.equal(isSameMemory(first, second), false)
  giveBack(first)
  const [third] = write(new Outgoing(), filled(RECORD_BYTES, 3)) as [Uint8Array]
  assert.ok(isSameMemory(first, third))
  assert.ok(second.every((byte) => byte === 2))
  giveBack(second)
  giveBack(third)
})

test('a piece given back twice, or by somebody who never had it, lends nothing to two', () => {
  const outgoing = new Outgoing()
  const [first] = write(outgoing, filled(RECORD_BYTES, 1)) as [Uint8Array]
  giveBack(first)
  const [second] = write(outgoing, filled(RECORD_BYTES, 2)) as [Uint8Array]
  assert.ok(isSameMemory(first, second))
  giveBack(first) // late: it is the memory of the second by now
  giveBack(second.subarray())
  giveBack(filled(RECORD_BYTES, 9))
  const [third] = write(outgoing, filled(RECORD_BYTES, 3)) as [Uint8Array]
  assert.equal(isSameMemory(second, third), false)
  giveBack(second)
  giveBack(third)
})

test('only so much memory waits for its next use', () => {
  const outgoing = new Outgoing()
  const pieces = Array.from({ length: 80 }, () => write(outgoing, filled(RECORD_BYTES, 1))[0] as Uint8Array)
  pieces.forEach(giveBack)
  const known = new Set(pieces.map(({ buffer }) => buffer))
  const again = Array.from({ length: 80 }, () => write(outgoing, filled(RECORD_BYTES, 1))[0] as Uint8Array)
  assert.equal(again.filter(({ buffer }) => known.has(buffer)).length, 64)
})

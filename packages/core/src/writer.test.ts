import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allocate, concatenate } from './allocate.ts'
import { Writer } from './writer.ts'

test('lengths are patched behind what was written, nested ones too', () => {
  const bytes = new Writer(1)
    .vector16((outer) => outer.u8(1).vector8((inner) => inner.opaque(Uint8Array.of(7, 7))))
    .vector24(() => {})
    .finish()
  assert.deepEqual([...bytes], [0, 4, 1, 2, 7, 7, 0, 0, 0])
})

for (const [name, write] of [
  ['u8 of 256', (writer: Writer) => writer.u8(256)],
  ['u16 of 65536', (writer: Writer) => writer.u16(65_536)],
  ['u24 of 2^24', (writer: Writer) => writer.u24(2 ** 24)],
  ['u32 of 2^32', (writer: Writer) => writer.u32(2 ** 32)],
  ['a negative number', (writer: Writer) => writer.u8(-1)],
  ['a fraction', (writer: Writer) => writer.u16(1.5)],
  ['a vector8 of 256 bytes', (writer: Writer) => writer.vector8((body) => body.zeros(256))],
  ['an opaque8 of 256 bytes', (writer: Writer) => writer.opaque8(new Uint8Array(256))],
] as const) {
  test(`${name} is a caller's bug`, () => {
    assert.throws(() => write(new Writer()), RangeError)
  })
}

test("allocated bytes are zero and nobody else's", () => {
  const first = allocate(100)
  first.fill(0xff)
  for (let round = 0; round < 2000; round++) {
    const next = allocate(97)
    assert.ok(next.every((byte) => byte === 0))
    next.fill(0xff)
  }
  assert.ok(first.every((byte) => byte === 0xff))
  assert.equal(allocate(5000).length, 5000)
})

for (const length of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
  test(`${length} bytes cannot be allocated`, () => {
    assert.throws(() => allocate(length), RangeError)
  })
}

test('concatenate joins in order', () => {
  assert.deepEqual([...concatenate([Uint8Array.of(1), Uint8Array.of(), Uint8Array.of(2, 3)], 3)], [1, 2, 3])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { DecodeError, type DecodeErrorCode, Reader } from './reader.ts'
import { Writer } from './writer.ts'

const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)

function refused(code: DecodeErrorCode): (error: unknown) => boolean {
  return (error) => error instanceof DecodeError && error.code === code
}

test('integers are big-endian, up to their largest value', () => {
  const reader = new Reader(bytes)
  assert.deepEqual([reader.u8(), reader.u16(), reader.u32()], [1, 0x0203, 0x04050607])
  assert.deepEqual([reader.offset, reader.left], [7, 1])
  const largest = new Reader(new Uint8Array(10).fill(0xff))
  assert.deepEqual(
    [largest.u8(), largest.u16(), largest.u24(), largest.u32()],
    [0xff, 0xffff, 0xffffff, 0xffffffff],
  )
})

const READS: readonly [string, number, (reader: Reader) => unknown][] = [
  ['u8', 1, (reader) => reader.u8()],
  ['u16', 2, (reader) => reader.u16()],
  ['u24', 3, (reader) => reader.u24()],
  ['u32', 4, (reader) => reader.u32()],
  ['opaque', 5, (reader) => reader.opaque(5)],
]
for (const [name, size, read] of READS) {
  test(`${name} takes ${size} bytes and not one less`, () => {
    const exact = new Reader(bytes.subarray(0, size))
    read(exact)
    exact.end()
    const short = new Reader(bytes.subarray(0, size - 1))
    assert.throws(() => read(short), refused('ERR_DECODE_TRUNCATED'))
    assert.equal(short.offset, 0, 'a refused read takes nothing')
  })
}

test('opaque fields are views, not copies', () => {
  const own = new Uint8Array(bytes)
  const view = new Reader(own).opaque(2)
  own[0] = 99
  assert.equal(view[0], 99)
})

test('a vector that claims more than there is is refused, at each width', () => {
  assert.throws(() => new Reader(Uint8Array.of(2, 0)).vector8(), refused('ERR_DECODE_TRUNCATED'))
  assert.throws(() => new Reader(Uint8Array.of(0, 2, 0)).vector16(), refused('ERR_DECODE_TRUNCATED'))
  assert.throws(() => new Reader(Uint8Array.of(0, 0, 2, 0)).vector24(), refused('ERR_DECODE_TRUNCATED'))
})

test('a vector is a reader of its own', () => {
  const reader = new Reader(Uint8Array.of(0, 2, 7, 8, 9))
  const vector = reader.vector16()
  assert.equal(vector.u8(), 7)
  assert.throws(() => vector.end(), refused('ERR_DECODE_TRAILING_DATA'))
  vector.u8()
  vector.end()
  assert.throws(() => vector.u8(), refused('ERR_DECODE_TRUNCATED'), 'it does not reach into what follows')
  assert.equal(reader.u8(), 9)
})

test('what a writer writes a reader reads', () => {
  const field = fc.oneof(
    fc.record({ kind: fc.constant('u8' as const), value: fc.integer({ min: 0, max: 0xff }) }),
    fc.record({ kind: fc.constant('u16' as const), value: fc.integer({ min: 0, max: 0xffff }) }),
    fc.record({ kind: fc.constant('u24' as const), value: fc.integer({ min: 0, max: 0xffffff }) }),
    fc.record({ kind: fc.constant('u32' as const), value: fc.integer({ min: 0, max: 0xffffffff }) }),
    fc.record({ kind: fc.constant('opaque16' as const), value: fc.uint8Array({ maxLength: 300 }) }),
  )
  fc.assert(
    fc.property(fc.array(field), fc.integer({ min: 0, max: 40 }), (fields, capacity) => {
      const writer = new Writer(capacity)
      for (const { kind, value } of fields) {
        if (kind === 'opaque16') writer.opaque16(value)
        else writer[kind](value)
      }
      const written = writer.finish()
      const reader = new Reader(written)
      for (const { kind, value } of fields) {
        const read = reader[kind]()
        assert.deepEqual(
          kind === 'opaque16' ? [...(read as Uint8Array)] : read,
          kind === 'opaque16' ? [...value] : value,
        )
      }
      reader.end()
      for (let length = 0; length < Math.min(written.length, 50); length++) {
        const prefix = new Reader(written.subarray(0, length))
        assert.throws(() => fields.forEach(({ kind }) => prefix[kind]()), refused('ERR_DECODE_TRUNCATED'))
      }
    }),
  )
})

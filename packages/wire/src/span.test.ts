import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Writer } from '@latchkey/core'
import * as fc from 'fast-check'
import { readCallerSpan } from './span.ts'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

interface Binary {
  readonly trace: Uint8Array
  readonly span: Uint8Array
  readonly flags: number
  readonly baggage: readonly (readonly [string, string])[]
}

function binary({ trace, span, flags, baggage }: Binary): Uint8Array {
  const writer = new Writer().opaque(trace).opaque(span).zeros(8).u8(flags).u32(baggage.length)
  for (const each of baggage.flat()) writer.u32(text(each).length).opaque(text(each))
  return writer.finish()
}

test('both forms, known values', () => {
  const bytes = Buffer.from('00000000000000010000000000000abc00000000000000ff000000000000000001', 'hex')
  const span = { traceId: '00000000000000010000000000000abc', spanId: '00000000000000ff', isSampled: true }
  assert.deepEqual(readCallerSpan(Buffer.concat([bytes, Buffer.alloc(4)])), span)
  assert.deepEqual(readCallerSpan(text('10000000000000ABC:ff:0:1')), span)
  assert.deepEqual(readCallerSpan(text('10000000000000abc:ff:1:0')), { ...span, isSampled: false })
  assert.deepEqual(readCallerSpan(text('10000000000000abc:ff:1:3')), span)
})

for (const [name, value] of [
  ['nothing', ''],
  ['three parts', '1:2:1'],
  ['five parts', '1:2:0:1:1'],
  ['an empty part', '1::0:1'],
  ['a trace of zeros', '0:2:0:1'],
  ['a span of zeros', '1:0:0:1'],
  ['no hex', '1:g:0:1'],
  ['a sign', '-1:2:0:1'],
  ['white space', '1:2:0:1\n'],
  ['a trace of 33 digits', `1${'0'.repeat(32)}:2:0:1`],
  ['flags above a byte', '1:2:0:100'],
  ['40 letters', 'a'.repeat(40)],
] as const) {
  test(`${name} is no span`, () => assert.equal(typeof readCallerSpan(text(value)), 'string'))
}

test('binary with lengths that run past the end, negative ones, too much baggage, bytes left over', () => {
  const head = Buffer.concat([Buffer.alloc(32, 1), Buffer.from([1])])
  for (const rest of [
    '00000001',
    '00000001ffffffff',
    'ffffffff',
    '00000041',
    '0000000000',
    '0000',
    '000000010000000161',
  ]) {
    assert.equal(typeof readCallerSpan(Buffer.concat([head, Buffer.from(rest, 'hex')])), 'string', rest)
  }
  assert.equal(readCallerSpan(new Uint8Array(9000)), '9000 bytes')
})

const id = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).filter((bytes) => bytes.some((byte) => byte !== 0))
const spans = fc.record({
  trace: id(16),
  span: id(8),
  flags: fc.nat(255),
  baggage: fc.array(fc.tuple(fc.string(), fc.string()), { maxLength: 5 }),
})

test('what was written is read again, in both forms, and any cut is refused', () => {
  fc.assert(
    fc.property(spans, fc.double({ min: 0, max: 0.999, noNaN: true }), (written, cut) => {
      const traceId = Buffer.from(written.trace).toString('hex')
      const spanId = Buffer.from(written.span).toString('hex')
      const expected = { traceId, spanId, isSampled: (written.flags & 1) === 1 }
      const bytes = binary(written)
      assert.deepEqual(readCallerSpan(bytes), expected)
      assert.deepEqual(readCallerSpan(text(`${traceId}:${spanId}:0:${written.flags.toString(16)}`)), expected)
      assert.equal(typeof readCallerSpan(bytes.subarray(0, Math.floor(cut * bytes.length))), 'string')
    }),
  )
})

test('no bytes make it throw, and what it reads is a valid span', () => {
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    spans
      .map(binary)
      .chain((bytes) =>
        fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)).map(([at, byte]) => bytes.with(at, byte)),
      ),
    fc.string({ unit: fc.constantFrom(...'0123456789abcdef:::'.split('')), maxLength: 80 }).map(text),
  )
  fc.assert(
    fc.property(hostile, (bytes) => {
      const span = readCallerSpan(bytes)
      if (typeof span === 'string') return
      assert.match(span.traceId, /^(?!0{32})[0-9a-f]{32}$/)
      assert.match(span.spanId, /^(?!0{16})[0-9a-f]{16}$/)
    }),
    { numRuns: 2000 },
  )
})

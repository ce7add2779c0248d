import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { noPadding, padBytes, toMultipleOf } from './padding.ts'

const FULL = 2 ** 14

const CASES: readonly { multiple: number; content: number; pad: number; max?: number }[] = [
  { multiple: 1, content: 17, pad: 0 },
  { multiple: 512, content: 0, pad: 512 },
  { multiple: 512, content: 1, pad: 511 },
  { multiple: 512, content: 511, pad: 1 },
  { multiple: 512, content: 512, pad: 0 },
  { multiple: 512, content: 513, pad: 511 },
  { multiple: FULL, content: 1, pad: FULL - 1 },
  { multiple: FULL, content: FULL, pad: 0 },
  // 1000 does not divide 2^14: the last record has room for no more.
  { multiple: 1000, content: 16_001, pad: 383 },
  { multiple: 1000, content: FULL, pad: 0 },
  { multiple: 512, content: 300, pad: 100, max: 400 },
]
for (const { multiple, content, pad, max } of CASES) {
  test(`${content} bytes padded to a multiple of ${multiple}, at most ${max ?? FULL}: ${pad}`, () => {
    assert.equal(padBytes(toMultipleOf(multiple), content, max), pad)
  })
}

test('noPadding adds nothing', () => {
  assert.equal(padBytes(noPadding, 5), 0)
})

test('a record never holds more than 2^14 bytes, and shows the length as coarsely as asked for', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: FULL }), fc.integer({ min: 0, max: FULL }), (multiple, content) => {
      const total = content + padBytes(toMultipleOf(multiple), content)
      assert.ok(total >= content && total <= FULL)
      assert.ok(total % multiple === 0 || total === FULL)
    }),
  )
})

test('whatever a policy wants, the record has room for it', () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 0, max: FULL }), (wanted, content) => {
      const pad = padBytes(() => wanted, content)
      assert.ok(pad >= 0 && pad <= wanted && content + pad <= FULL)
    }),
  )
})

for (const bytes of [0, -1, 1.5, FULL + 1, Number.NaN]) {
  test(`toMultipleOf refuses ${bytes}`, () => {
    assert.throws(() => toMultipleOf(bytes), RangeError)
  })
}

for (const wanted of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
  test(`a policy that wants ${wanted} bytes is a bug`, () => {
    assert.throws(() => padBytes(() => wanted, 5), RangeError)
  })
}

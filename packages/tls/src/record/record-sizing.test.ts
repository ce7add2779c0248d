import assert from 'node:assert/strict'
import { test } from 'node:test'
import { recordSizing } from './record-sizing.ts'

const take = (sizing: ReturnType<typeof recordSizing>, count: number): number[] =>
  Array.from({ length: count }, () => sizing.next())

const SMALL = Array.from({ length: 16 }, () => 1369)

test('max: full records from the first on', () => {
  const sizing = recordSizing('max')
  sizing.begin(() => 0)
  assert.deepEqual(take(sizing, 2), [16_384, 16_384])
})

test('dynamic: sixteen small records, then full ones, also over several writes', () => {
  const sizing = recordSizing('dynamic')
  sizing.begin(() => 0)
  assert.deepEqual(take(sizing, 10), SMALL.slice(0, 10))
  sizing.begin(() => 1000)
  assert.deepEqual(take(sizing, 8), [...SMALL.slice(0, 6), 16_384, 16_384])
})

test('dynamic: it begins anew after more than a second of silence, and not for a clock that is set back', () => {
  const sizing = recordSizing('dynamic')
  sizing.begin(() => 5000)
  take(sizing, 20)
  sizing.begin(() => 6000)
  assert.deepEqual(take(sizing, 1), [16_384])
  sizing.begin(() => 7001)
  assert.deepEqual(take(sizing, 17), [...SMALL, 16_384])
  sizing.begin(() => 1)
  assert.deepEqual(take(sizing, 1), [16_384])
})

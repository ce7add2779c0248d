import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDuration, parseDuration } from './duration.ts'

for (const [text, ms] of [
  ['250ms', 250],
  ['2s', 2000],
  ['1.5s', 1500],
  ['1m30s', 90_000],
  ['2h', 7_200_000],
  ['0', 0],
  ['', undefined],
  ['2', undefined],
  ['2 s', undefined],
  ['-1s', undefined],
  ['1s2', undefined],
  ['1d', undefined],
  ['s', undefined],
] as const) {
  test(`duration ${JSON.stringify(text)}`, () => assert.equal(parseDuration(text), ms))
}

test('durations are written in their shortest usual form', () => {
  assert.deepEqual([250, 2000, 1500, 0].map(formatDuration), ['250ms', '2s', '1.5s', '0ms'])
})

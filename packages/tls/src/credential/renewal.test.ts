import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CLOCK_SKEW_MS, MAX_VALIDITY_MS } from './delegation.ts'
import { expiryMs, renewAtMs, retryDelayMs } from './renewal.ts'

const HOUR = 3_600_000

test('renewed between a half and two thirds of its life', () => {
  assert.equal(renewAtMs(100 * HOUR, 124 * HOUR, 0), 112 * HOUR)
  assert.equal(renewAtMs(100 * HOUR, 124 * HOUR, 1), 116 * HOUR)
})

test('tried again after a second, then twice as long each time, to ten minutes', () => {
  assert.deepEqual(
    [1, 2, 3, 10, 11, 1000].map((failures) => retryDelayMs(failures, 1)),
    [1000, 2000, 4000, 512_000, 600_000, 600_000],
  )
  assert.equal(retryDelayMs(1, 0), 500)
})

test('it never outlives its certificate, nor is seen for seven days by a clock that is an hour behind', () => {
  assert.equal(expiryMs(5, 24 * HOUR, Infinity), 5 + 24 * HOUR)
  assert.equal(expiryMs(5, 24 * HOUR, 1000), 1000)
  assert.equal(expiryMs(0, MAX_VALIDITY_MS, Infinity), MAX_VALIDITY_MS - CLOCK_SKEW_MS)
})

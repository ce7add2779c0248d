import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TokenBuckets } from './token-buckets.ts'

const RATE = { perSecond: 10, burst: 3 }

test('a burst at once, then the rate', () => {
  let now = 0
  const buckets = new TokenBuckets(() => now)
  const bucket = buckets.get('a', RATE)
  const taken = (count: number): boolean[] => Array.from({ length: count }, () => buckets.take(bucket))
  assert.deepEqual(taken(4), [true, true, true, false])
  now = 100
  assert.deepEqual(taken(2), [true, false])
  now = 10_000 // full again, and no fuller than its burst
  assert.deepEqual(taken(4), [true, true, true, false])
})

test('a clock that stands still or goes back gives nothing and takes nothing', () => {
  let now = 1000
  const buckets = new TokenBuckets(() => now)
  const bucket = buckets.get('a', { perSecond: 1000, burst: 1 })
  assert.ok(buckets.take(bucket))
  assert.ok(!buckets.take(bucket))
  now = 0
  assert.ok(!buckets.take(bucket))
  now = 1
  assert.ok(buckets.take(bucket))
})

test('all of several, or none', () => {
  const buckets = new TokenBuckets(() => 0)
  const one = buckets.get('one', { perSecond: 1, burst: 1 })
  const two = buckets.get('two', { perSecond: 1, burst: 2 })
  assert.ok(buckets.take(one, two))
  assert.ok(!buckets.take(one, two))
  assert.ok(buckets.take(two), 'what was refused has cost nothing')
})

test('a share of the rate for each of several processes, and never less than one', () => {
  const buckets = new TokenBuckets(() => 0, 1 / 4)
  assert.equal(buckets.get('a', { perSecond: 100, burst: 100 }).burst, 25)
  assert.equal(buckets.get('b', { perSecond: 1, burst: 1 }).burst, 1)
})

test('so many and no more; the one that was not asked for longest goes', () => {
  const buckets = new TokenBuckets(() => 0, 1, 2)
  const first = buckets.get('first', RATE)
  buckets.take(first)
  buckets.get('second', RATE)
  buckets.get('first', RATE)
  buckets.get('third', RATE)
  assert.equal(buckets.size, 2)
  assert.equal(buckets.get('first', RATE), first)
})

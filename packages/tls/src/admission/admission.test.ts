import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Admission, sourceOf } from './admission.ts'
import { TokenBuckets } from './token-buckets.ts'

for (const [address, source] of [
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['127.0.0.1', undefined],
  ['127.9.9.9', undefined],
  ['::1', undefined],
  ['::ffff:127.0.0.1', undefined],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2::6', '2001:db8:1:2'],
  ['2001:db8::6', '2001:db8:0:0'],
  ['2001:db8::', '2001:db8:0:0'],
  ['::2', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
] as const) {
  test(`${address} counts as ${source ?? 'nobody'}`, () => assert.equal(sourceOf(address), source))
}

test('a bucket gives its burst, then its rate, and never more than it holds', () => {
  let now = 0
  const buckets = new TokenBuckets({ rate: { perSecond: 10, burst: 3 }, limit: 10, clock: () => now })
  const taken = (): number => {
    let count = 0
    while (buckets.take('a')) count++
    return count
  }
  assert.equal(taken(), 3)
  now += 99
  assert.equal(taken(), 0)
  now += 1
  assert.equal(taken(), 1)
  now += 3_600_000
  assert.equal(taken(), 3)
  now -= 7_200_000
  assert.equal(taken(), 0, 'a clock that jumps back gives nothing')
})

test('buckets are bounded, and the one touched longest ago goes first', () => {
  const buckets = new TokenBuckets({ rate: { perSecond: 0, burst: 1 }, limit: 2, clock: () => 0 })
  assert.ok(buckets.take('a') && buckets.take('b'))
  assert.ok(!buckets.take('a'))
  assert.ok(buckets.take('c'), 'b is forgotten')
  assert.ok(!buckets.take('a'))
  assert.equal(buckets.size, 2)
  assert.ok(buckets.take('b'))
})

test('one source over its share does not use up what is for all', () => {
  const admission = new Admission({
    total: { perSecond: 0, burst: 5 },
    perSource: { perSecond: 0, burst: 2 },
    clock: () => 0,
  })
  const admitted = (address: string, tries: number): number =>
    Array.from({ length: tries }, () => admission.admits(address)).filter(Boolean).length
  assert.equal(admitted('192.0.2.1', 100), 2)
  assert.equal(admitted('2001:db8::1', 1) + admitted('2001:db8::2', 100), 2, 'a /64 is one source')
  assert.equal(admitted('192.0.2.2', 100), 1, 'then the total is spent')
  assert.equal(admitted('127.0.0.1', 100), 100)
})

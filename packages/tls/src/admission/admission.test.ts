import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Admission, type AdmissionRequest, sourceOf } from './admission.ts'
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

const asked = (clientAddress?: string, isResumed = false) =>
  ({ isResumed, group: 'x25519', clientAddress }) as const

/** How many of so many tries get in. */
function admitted(admission: Admission, tries: number, request: AdmissionRequest): number {
  const refusals = Array.from({ length: tries }, () => admission.refusal(request))
  return refusals.filter((refusal) => refusal === undefined).length
}

test('one source over its share does not use up what is for all', () => {
  const full = { total: { perSecond: 0, burst: 5 }, perSource: { perSecond: 0, burst: 2 } }
  const admission = new Admission({ full, clock: () => 0 })
  assert.equal(admitted(admission, 100, asked('192.0.2.1')), 2)
  assert.equal(admission.refusal(asked('192.0.2.1')), 'full handshakes of this source')
  const both = [asked('2001:db8::1'), asked('2001:db8::2')]
  assert.equal(both.map((one) => admitted(admission, 2, one)).join(), '2,0', 'a /64 is one source')
  assert.equal(
    admitted(admission, 100, asked('127.0.0.1')),
    1,
    'the total holds for loopback, which has no share',
  )
  assert.equal(admission.refusal(asked('192.0.2.2')), 'full handshakes')
})

test('resumptions have buckets of their own, and take nothing from the full handshakes', () => {
  const full = { total: { perSecond: 0, burst: 1 } }
  const resumed = { perSource: { perSecond: 0, burst: 3 } }
  const admission = new Admission({ full, resumed, clock: () => 0 })
  assert.equal(admitted(admission, 10, asked('192.0.2.1', true)), 3)
  assert.equal(admitted(admission, 10, asked('192.0.2.1')), 1)
  assert.equal(admitted(admission, 10, asked('192.0.2.2', true)), 3)
})

test('secp384r1 has a bucket of its own, also for resumptions, and a full one takes nothing from the total', () => {
  let now = 0
  const full = { total: { perSecond: 0, burst: 6 } }
  const admission = new Admission({ full, secp384r1: { perSecond: 1, burst: 4 }, clock: () => now })
  const expensive = { ...asked('192.0.2.1'), group: 'secp384r1' } as const
  assert.equal(admitted(admission, 1, { ...expensive, isResumed: true }), 1)
  assert.equal(admitted(admission, 10, expensive), 3)
  assert.equal(admission.refusal(expensive), 'secp384r1')
  assert.equal(admitted(admission, 2, asked('192.0.2.1')), 2)
  now += 1000
  assert.equal(admitted(admission, 10, expensive), 1)
  assert.equal(admission.refusal(asked('192.0.2.1')), 'full handshakes')
})

test('without rates nothing is limited but secp384r1', () => {
  const admission = new Admission({ clock: () => 0 })
  assert.equal(admitted(admission, 5000, asked('192.0.2.1')), 5000)
  assert.equal(admitted(admission, 5000, { ...asked('192.0.2.1'), group: 'secp384r1' }), 200)
  assert.equal(admitted(admission, 5000, asked()), 5000)
})

// The instrument of scripts/timing-leak.ts: that it sees a leak, and sees none where there is none. What it says of the
// engine takes a quiet machine, so that is not tried here.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from './support/random.ts'
import { compare, measure, T_LIMIT } from './support/timing.ts'
import { TIMING_CASES } from './support/timing-cases.ts'

/** About normal: the sum of twelve. */
function noise(random: ReturnType<typeof seededRandom>): number {
  let sum = 0
  for (let count = 0; count < 12; count++) sum += random.below(1000)
  return sum
}

test("Welch's t is what a table gives", () => {
  // Nothing is cut off here: the slowest tenth of ten values begins above them.
  const { t, differenceNs } = compare([3, 4, 5, 6, 7, 100], [1, 2, 3, 4, 5])
  assert.equal(differenceNs, 2)
  // Means 5 and 3, variances 2.5, five values each: 2 / √(0.5 + 0.5).
  assert.ok(Math.abs(t - 2) < 1e-9, String(t))
})

test('a difference of a fifth of the noise is seen in 20000 samples, none where there is none', () => {
  const random = seededRandom(6)
  const times = (shift: number): number[] => Array.from({ length: 10_000 }, () => noise(random) + shift)
  // The noise has a standard deviation of 1000.
  const seen = compare(times(200), times(0))
  assert.ok(seen.t > T_LIMIT && seen.detectableNs < 100, JSON.stringify(seen))
  assert.ok(Math.abs(compare(times(0), times(0)).t) < T_LIMIT)
})

test('the control, a comparison that stops early, is flagged', () => {
  const control = TIMING_CASES.find(({ leaks }) => leaks === true)
  assert.ok(control !== undefined)
  const result = measure({ ...control, samples: 5000 }, seededRandom(7))
  // Kind 0 is wrong in its first byte: it is the faster.
  assert.ok(result.t < -T_LIMIT, JSON.stringify(result))
})

test('each case can be run', () => {
  for (const { prepare } of TIMING_CASES) {
    for (const kind of [0, 1] as const) prepare(kind)()
  }
})

// Whether the time something takes depends on a secret: two kinds of input, measured in random order, and Welch's t-test
// on the two sets of times (Reparaz, Balasch, Verbauwhede, "dude, is my code constant time?", DATE 2017).
//
//     t = (mean a − mean b) / √(variance a / n a + variance b / n b)
//
// |t| above 4.5 is a difference that chance gives once in 10^5. A test that finds nothing proves nothing by itself: each
// result says which difference it could have seen, and beside the code that must not leak runs one that does.
import type { Random } from './random.ts'

/** Above it a difference is taken to be real. */
export const T_LIMIT = 4.5

export interface TimingCase {
  /** Makes one input of the kind; not timed. Called in random order, so that no kind has the warmer caches. */
  readonly prepare: (kind: 0 | 1) => () => unknown
  readonly samples: number
  /** Operations in one run: times are given for one. Default 1. */
  readonly operations?: number
}

export interface TimingResult {
  readonly t: number
  /** Mean of kind 0 minus mean of kind 1. */
  readonly differenceNs: number
  /** The smallest difference that would have been flagged. */
  readonly detectableNs: number
  readonly samples: number
}

/** Times `samples` runs, about half of each kind, or as many as `seconds` have room for, and compares them. */
export function measure(
  { prepare, samples, operations = 1 }: TimingCase,
  random: Random,
  seconds = Number.POSITIVE_INFINITY,
): TimingResult {
  const times: [number[], number[]] = [[], []]
  const deadline = performance.now() + seconds * 1000
  for (let count = 0; count < samples + WARM_UP && performance.now() < deadline; count++) {
    const kind = random.below(2) as 0 | 1
    const run = prepare(kind)
    const start = process.hrtime.bigint()
    run()
    const elapsed = Number(process.hrtime.bigint() - start) / operations
    if (count >= WARM_UP) times[kind].push(elapsed)
  }
  return compare(...times)
}

/** Runs before the compiler has settled. */
const WARM_UP = 500
/** Interrupts and garbage collection lengthen some runs by a hundred times: the slowest tenth of all says nothing. */
const KEPT = 0.9

export function compare(a: readonly number[], b: readonly number[]): TimingResult {
  const all = [...a, ...b].toSorted((x, y) => x - y)
  const limit = all[Math.floor(all.length * KEPT)] ?? Number.POSITIVE_INFINITY
  const [one, other] = [a, b].map((times) => momentsOf(times.filter((time) => time <= limit))) as [
    Moments,
    Moments,
  ]
  const differenceNs = one.mean - other.mean
  const standardError = Math.sqrt(one.variance / one.count + other.variance / other.count)
  return {
    t: differenceNs / standardError,
    differenceNs,
    detectableNs: T_LIMIT * standardError,
    samples: one.count + other.count,
  }
}

interface Moments {
  readonly count: number
  readonly mean: number
  readonly variance: number
}

function momentsOf(values: readonly number[]): Moments {
  const count = values.length
  const mean = values.reduce((sum, value) => sum + value, 0) / count
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1)
  return { count, mean, variance }
}

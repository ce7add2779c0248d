import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pace } from './client-pace.ts'

interface Row {
  name: string
  /** Whether the client was awaited and how many bytes moved, check by check; one a second, 10 bytes a second are due. */
  checks: [isAwaited: boolean, bytes: number][]
  /** The check that finds it too slow; undefined: none. */
  slowAt: number | undefined
}

const times = (count: number, isAwaited: boolean, bytes: number): [boolean, number][] =>
  Array.from({ length: count }, () => [isAwaited, bytes])

const ROWS: Row[] = [
  { name: 'nothing comes', checks: times(9, true, 0), slowAt: 3 },
  { name: 'a byte now and then is not enough', checks: times(9, true, 1), slowAt: 4 },
  { name: 'just the pace', checks: times(1000, true, 10), slowAt: undefined },
  { name: 'just below the pace', checks: times(1000, true, 9), slowAt: 39 },
  { name: 'the other side is awaited', checks: times(1000, false, 0), slowAt: undefined },
  {
    name: 'a pause within the grace time',
    checks: [...times(3, true, 0), [true, 40], ...times(3, true, 0), [true, 40]],
    slowAt: undefined,
  },
  {
    name: 'a burst buys no more than the grace time',
    checks: [[true, 1e9], ...times(9, true, 0)],
    slowAt: 4,
  },
  {
    name: 'whoever has caught up owes nothing',
    checks: [...times(3, true, 0), [false, 0], ...times(3, true, 0), [false, 0]],
    slowAt: undefined,
  },
]

for (const { name, checks, slowAt } of ROWS) {
  test(`pace: ${name}`, () => {
    const pace = new Pace({ graceMs: 4000, intervalMs: 1000, bytesPerSecond: 10 })
    const at = checks.findIndex(([isAwaited, bytes]) => !pace.isKept(isAwaited, bytes))
    assert.equal(at === -1 ? undefined : at, slowAt)
  })
}

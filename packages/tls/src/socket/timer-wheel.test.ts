import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { type Deadline, TICK_MS, TimerWheel } from './timer-wheel.ts'

/** A wheel whose time the test has, and the one timer that it may have. */
class Bench {
  now = 12_345.6
  readonly fired: string[] = []
  naps = 0
  #wake: { readonly at: number; readonly wake: () => void } | undefined
  readonly wheel = new TimerWheel({
    clock: () => this.now,
    sleep: (ms, wake) => {
      assert.equal(this.#wake, undefined, 'one timer at a time')
      assert.ok(ms > 0 && ms <= TICK_MS, `${ms} ms`)
      this.naps++
      this.#wake = { at: this.now + ms, wake }
    },
  })

  set(ms: number, name: string): Deadline {
    return this.wheel.set(ms, () => this.fired.push(name))
  }

  get sleeps(): boolean {
    return this.#wake !== undefined
  }

  /** Lets time pass as an idle event loop does. */
  pass(ms: number): this {
    const end = this.now + ms
    while (this.#wake !== undefined && this.#wake.at <= end) {
      this.now = this.#wake.at
      this.wake()
    }
    this.now = end
    return this
  }

  /** Time has jumped, or the event loop was busy: the timer is late. */
  jump(ms: number): this {
    this.now += ms
    if (this.#wake !== undefined && this.#wake.at <= this.now) this.wake()
    return this
  }

  wake(): void {
    const wake = this.#wake?.wake
    this.#wake = undefined
    wake?.()
  }
}

test('deadlines come in their order, never early and at most a tick late', () => {
  const bench = new Bench()
  for (const ms of [1000, 250, 2000]) bench.set(ms, String(ms))
  for (const [ms, name] of [
    [250, '250'],
    [750, '1000'],
    [1000, '2000'],
  ] as const) {
    bench.pass(ms - 1)
    assert.ok(!bench.fired.includes(name), `${name} is early`)
    bench.pass(TICK_MS + 1).pass(-TICK_MS)
    assert.equal(bench.fired.at(-1), name)
  }
  assert.equal(bench.wheel.size, 0)
})

test('a deadline that is cancelled does not come; twice, late and none at all are harmless', () => {
  const bench = new Bench()
  const [gone, stays] = [bench.set(500, 'gone'), bench.set(500, 'stays')]
  bench.wheel.cancel(gone)
  bench.wheel.cancel(gone)
  bench.wheel.cancel(undefined)
  assert.equal(bench.wheel.size, 1)
  bench.pass(700)
  bench.wheel.cancel(stays)
  assert.deepEqual(bench.fired, ['stays'])
  assert.equal(bench.wheel.size, 0)
})

test('no timer runs while there is no deadline, and one while there are ten thousand', () => {
  const bench = new Bench()
  assert.equal(bench.sleeps, false)
  const deadlines = Array.from({ length: 10_000 }, (_, index) => bench.set(5000 + index, 'late'))
  assert.equal(bench.naps, 1)
  for (const deadline of deadlines) bench.wheel.cancel(deadline)
  bench.pass(200)
  assert.equal(bench.sleeps, false)
  assert.equal(bench.naps, 1)
  bench.pass(3_600_000).set(300, 'again')
  bench.pass(400)
  assert.deepEqual(bench.fired, ['again'])
  assert.equal(bench.sleeps, false)
})

test('what is due in more than a turn of the wheel waits for it', () => {
  const bench = new Bench()
  bench.set(250_000, 'far')
  bench.pass(249_999)
  assert.deepEqual(bench.fired, [])
  bench.pass(101)
  assert.deepEqual(bench.fired, ['far'])
})

test('a process that slept for hours has all deadlines come once, and goes on', () => {
  const bench = new Bench()
  bench.set(1000, 'short')
  bench.set(200_000, 'long')
  bench.set(8 * 3_600_000, 'tomorrow')
  bench.jump(7 * 3_600_000)
  assert.deepEqual(bench.fired.toSorted(), ['long', 'short'])
  bench.set(1000, 'after')
  bench.pass(1100)
  assert.equal(bench.fired.at(-1), 'after')
  bench.pass(3_600_000)
  assert.equal(bench.fired.at(-1), 'tomorrow')
})

test('a clock that goes back changes nothing but that deadlines are later', () => {
  const bench = new Bench()
  bench.set(1000, 'a')
  bench.pass(500)
  bench.now -= 300
  bench.pass(750)
  assert.deepEqual(bench.fired, [])
  bench.pass(200)
  assert.deepEqual(bench.fired, ['a'])
})

test('a deadline may set and cancel others, also of its own tick', () => {
  const bench = new Bench()
  bench.wheel.set(100, () => {
    bench.fired.push('first')
    bench.wheel.cancel(second)
    bench.set(0, 'next')
  })
  const second = bench.set(100, 'second')
  bench.pass(200)
  assert.deepEqual(bench.fired, ['first'])
  bench.pass(TICK_MS)
  assert.deepEqual(bench.fired, ['first', 'next'])
})

test('a deadline that throws does not stop the others', () => {
  const bench = new Bench()
  bench.wheel.set(100, () => {
    throw new Error('a listener’s')
  })
  bench.set(100, 'same tick')
  bench.set(500, 'later')
  assert.throws(() => bench.pass(300), /a listener’s/)
  bench.pass(700)
  assert.deepEqual(bench.fired.toSorted(), ['later', 'same tick'])
})

test('property: each deadline comes once, not early, unless it was cancelled', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('set' as const), ms: fc.integer({ min: 0, max: 150_000 }) }),
    fc.record({ do: fc.constant('cancel' as const), which: fc.nat() }),
    fc.record({
      do: fc.constantFrom('pass' as const, 'jump' as const),
      ms: fc.integer({ min: 0, max: 90_000 }),
    }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const bench = new Bench()
      const all: { deadline: Deadline; dueAt: number; comesAt: number | undefined; isCancelled: boolean }[] =
        []
      for (const it of steps) {
        if (it.do === 'set') {
          const entry = {
            dueAt: bench.now + it.ms,
            comesAt: undefined as number | undefined,
            isCancelled: false,
          }
          const deadline = bench.wheel.set(it.ms, () => {
            assert.equal(entry.comesAt, undefined, 'once')
            assert.equal(entry.isCancelled, false)
            entry.comesAt = bench.now
          })
          all.push(Object.assign(entry, { deadline }))
        } else if (it.do === 'cancel') {
          const entry = all[it.which % Math.max(1, all.length)]
          if (entry !== undefined) {
            entry.isCancelled = true
            bench.wheel.cancel(entry.deadline)
          }
        } else {
          bench[it.do](it.ms)
        }
        const overdue = all.filter(
          ({ dueAt, comesAt, isCancelled }) =>
            !isCancelled && comesAt === undefined && dueAt + TICK_MS + 1 < bench.now,
        )
        assert.equal(overdue.length, 0)
      }
      bench.pass(200_000)
      for (const { dueAt, comesAt, isCancelled } of all) {
        assert.ok(comesAt !== undefined || isCancelled)
        assert.ok(comesAt === undefined || comesAt >= dueAt)
      }
      assert.equal(bench.wheel.size, 0)
    }),
    { numRuns: 200 },
  )
})

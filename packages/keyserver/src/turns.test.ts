import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns, type Worker } from './turns.ts'

/** Turns under a clock and a loop of our own: `turn()` is one turn of the event loop. */
class Bench {
  nowMs = 0
  readonly order: string[] = []
  #run: (() => void) | undefined
  readonly turns = new Turns({ nowMs: () => this.nowMs, schedule: (run) => (this.#run = run) })

  get isScheduled(): boolean {
    return this.#run !== undefined
  }

  turn(): void {
    const run = this.#run
    this.#run = undefined
    run?.()
  }

  /** A connection with `slices` slices of work, each of which takes `ms`. */
  worker(name: string, slices: number, ms: number): Worker {
    let left = slices
    return {
      runSlice: () => {
        this.order.push(name)
        this.nowMs += ms
        left--
        return left > 0
      },
    }
  }
}

test('who just woke up goes before who has had a slice', () => {
  const bench = new Bench()
  bench.turns.add(bench.worker('flood', 100, 0.25))
  bench.turn()
  assert.deepEqual(bench.order, ['flood', 'flood', 'flood', 'flood'])
  bench.turns.add(bench.worker('ping', 1, 0.01))
  bench.turn()
  // One slice of the flood, so that it cannot be starved, then the ping.
  assert.deepEqual(bench.order.slice(4, 6), ['flood', 'ping'])
})

test('slices that are longer than a turn starve nobody', () => {
  const bench = new Bench()
  for (const name of ['flood', 'deluge']) bench.turns.add(bench.worker(name, 100, 5))
  bench.turn()
  bench.turns.add(bench.worker('ping', 1, 5))
  bench.turn()
  bench.turn()
  assert.ok(bench.order.includes('ping'), bench.order.join())
})

test('busy connections take turns', () => {
  const bench = new Bench()
  for (const name of ['a', 'b', 'c']) bench.turns.add(bench.worker(name, 3, 0.25))
  for (let turn = 0; turn < 4; turn++) bench.turn()
  assert.equal(bench.order.join(''), 'abcabcabc')
})

test('a turn ends after about a millisecond, and the rest waits for the next', () => {
  const bench = new Bench()
  bench.turns.add(bench.worker('a', 50, 0.25))
  bench.turn()
  assert.ok(bench.order.length < 10)
  assert.ok(bench.isScheduled)
})

test('endless newcomers do not starve a busy connection', () => {
  const bench = new Bench()
  bench.turns.add(bench.worker('busy', 1000, 0.25))
  bench.turn()
  const before = bench.order.length
  for (let turn = 0; turn < 20; turn++) {
    for (let count = 0; count < 10; count++) bench.turns.add(bench.worker('new', 1, 0.25))
    bench.turn()
  }
  assert.ok(bench.order.slice(before).filter((name) => name === 'busy').length >= 20)
})

test('a worker added twice runs once, one removed does not run, and without work nothing is scheduled', () => {
  const bench = new Bench()
  const worker = bench.worker('a', 1, 1)
  const removed = bench.worker('removed', 1, 1)
  bench.turns.add(worker)
  bench.turns.add(worker)
  bench.turns.add(removed)
  bench.turns.remove(removed)
  bench.turn()
  assert.deepEqual(bench.order, ['a'])
  assert.equal(bench.isScheduled, false)
})

test('who is to run later runs after a look at the sockets, or when it is awakened by one', () => {
  const bench = new Bench()
  bench.turns.add({
    runSlice: () => {
      bench.order.push('first')
      bench.turns.addLater(bench.worker('later', 1, 0.01))
      return false
    },
  })
  bench.turn()
  assert.deepEqual(bench.order, ['first'])
  assert.ok(bench.isScheduled)
  bench.turn()
  assert.deepEqual(bench.order, ['first', 'later'])
  assert.ok(!bench.isScheduled)
  const gone = bench.worker('gone', 1, 0.01)
  bench.turns.addLater(gone)
  bench.turns.remove(gone)
  bench.turn()
  assert.deepEqual(bench.order, ['first', 'later'])
})

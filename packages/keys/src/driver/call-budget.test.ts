import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CallBudget } from './call-budget.ts'
import { FakeClock, settle } from '@latchkey/core/fake-clock'

const FOREVER = new AbortController().signal

/** Starts calls that end when they are told, and counts those under way. */
function caller(budget: CallBudget) {
  const turns: Disposable[] = []
  const failures: unknown[] = []
  return {
    turns,
    failures,
    ask: (signal = FOREVER) => {
      budget.enter(signal).then(
        (turn) => turns.push(turn),
        (cause: unknown) => failures.push(cause),
      )
    },
  }
}

test('so many at a time, the next when one is over', async () => {
  const budget = new CallBudget({ maxInFlight: 2, maxPerSecond: Infinity, maxQueued: 10 }, new FakeClock())
  const { ask, turns } = caller(budget)
  for (let n = 0; n < 4; n++) ask()
  await settle()
  assert.deepEqual([turns.length, budget.inFlight, budget.queued], [2, 2, 2])
  turns[0]?.[Symbol.dispose]()
  turns[0]?.[Symbol.dispose]() // twice counts once
  await settle()
  assert.deepEqual([turns.length, budget.inFlight, budget.queued], [3, 2, 1])
})

test('so many in a second, after a second’s worth at once', async () => {
  const clock = new FakeClock()
  const budget = new CallBudget({ maxInFlight: 100, maxPerSecond: 10, maxQueued: 100 }, clock)
  const { ask, turns } = caller(budget)
  for (let n = 0; n < 40; n++) ask()
  await settle()
  const atOnce = turns.length
  assert.ok(atOnce >= 10 && atOnce <= 11, `${atOnce} at once`)
  await clock.advance(1000)
  assert.ok(Math.abs(turns.length - atOnce - 10) <= 1, `${turns.length} after a second`)
  await clock.advance(1000)
  assert.ok(Math.abs(turns.length - atOnce - 20) <= 1, `${turns.length} after two`)
})

test('a line has an end', async () => {
  const budget = new CallBudget({ maxInFlight: 1, maxPerSecond: Infinity, maxQueued: 2 }, new FakeClock())
  const { ask, failures } = caller(budget)
  for (let n = 0; n < 4; n++) ask()
  await settle()
  assert.equal(failures.length, 1)
  assert.equal((failures[0] as { code: string }).code, 'ERR_KEYS_BUSY')
})

test('who goes away leaves the line', async () => {
  const budget = new CallBudget({ maxInFlight: 1, maxPerSecond: Infinity, maxQueued: 2 }, new FakeClock())
  const { ask, failures, turns } = caller(budget)
  const going = new AbortController()
  ask()
  ask(going.signal)
  ask()
  await settle()
  going.abort(new Error('gone'))
  await settle()
  assert.deepEqual(failures, [going.signal.reason])
  turns[0]?.[Symbol.dispose]()
  await settle()
  assert.equal(turns.length, 2, 'the one behind has its turn')
})

test('nothing begins while the service wants a pause', async () => {
  const clock = new FakeClock()
  const budget = new CallBudget({ maxInFlight: 9, maxPerSecond: Infinity, maxQueued: 9 }, clock)
  const { ask, turns } = caller(budget)
  budget.pause(2000)
  ask()
  await clock.advance(1999)
  assert.equal(turns.length, 0)
  await clock.advance(1)
  assert.equal(turns.length, 1)
})

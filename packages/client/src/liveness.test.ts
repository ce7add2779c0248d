import assert from 'node:assert/strict'
import test from 'node:test'
import { Liveness } from './liveness.ts'

const LIMITS = { idlePingMs: 15_000, silentPingMs: 1000, pongTimeoutMs: 2000 }

test('an idle connection is pinged in time, and given up if nothing comes', () => {
  const liveness = new Liveness(LIMITS, 0)
  assert.equal(liveness.check(14_999, false), undefined)
  assert.equal(liveness.check(15_000, false), 'ping')
  assert.equal(liveness.check(15_001, true), undefined)
  assert.equal(liveness.check(16_999, true), undefined)
  assert.equal(liveness.check(17_000, true), 'give-up')
})

test('a connection that owes answers is pinged sooner, counted from when it began to owe', () => {
  const liveness = new Liveness(LIMITS, 0)
  liveness.startedOwing(10_000)
  assert.equal(liveness.check(10_999, true), undefined)
  assert.equal(liveness.check(11_000, true), 'ping')
})

test('whatever comes is a sign of life', () => {
  const liveness = new Liveness(LIMITS, 0)
  assert.equal(liveness.check(1000, true), 'ping')
  liveness.received(2999)
  assert.equal(liveness.check(3000, true), undefined)
  assert.equal(liveness.check(3999, true), 'ping')
  liveness.received(4000)
  assert.equal(liveness.dueAt(false), 19_000)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KeysError, type KeysErrorCode } from '../errors.ts'
import type { DriverCall } from './driver.ts'
import { FakeClock, settle } from '@latchkey/core/fake-clock'
import { RemoteCalls } from './remote-calls.ts'

function setUp(answers: readonly (KeysError | 'ok')[], timeoutMs = 60_000) {
  const clock = new FakeClock()
  const calls: DriverCall[] = []
  const retries: KeysErrorCode[] = []
  const remote = new RemoteCalls({
    source: 'home',
    maxInFlight: 4,
    maxPerSecond: Infinity,
    maxQueued: 4,
    timeoutMs,
    clock,
    random: () => 0.5,
    observer: { called: (call) => calls.push(call), retried: (_, cause) => retries.push(cause) },
  })
  const left = [...answers]
  const outcomes: unknown[] = []
  const ask = (): void => {
    remote
      .run('sign', async () => {
        const answer = left.shift() ?? 'ok'
        if (answer !== 'ok') throw answer
        return 'signature'
      })
      .then(
        (value) => outcomes.push(value),
        (cause: unknown) => outcomes.push((cause as KeysError).code),
      )
  }
  return { clock, calls, retries, remote, ask, outcomes }
}

const down = new KeysError('ERR_KEYS_UNAVAILABLE')
const busy = new KeysError('ERR_KEYS_BUSY', { retryAfterMs: 3000 })
const denied = new KeysError('ERR_KEYS_DENIED')

test('what may go away is tried again, with a pause', async () => {
  const { clock, ask, outcomes, retries, calls } = setUp([down, down])
  ask()
  await settle()
  assert.deepEqual(outcomes, [])
  await clock.advance(24)
  assert.equal(calls.length, 1)
  await clock.advance(1000)
  assert.deepEqual(outcomes, ['signature'])
  assert.deepEqual(retries, ['ERR_KEYS_UNAVAILABLE', 'ERR_KEYS_UNAVAILABLE'])
  assert.deepEqual(
    calls.map(({ error }) => error),
    ['ERR_KEYS_UNAVAILABLE', 'ERR_KEYS_UNAVAILABLE', undefined],
  )
})

test('three tries and no more', async () => {
  const { clock, ask, outcomes, calls } = setUp([down, down, down, 'ok'])
  ask()
  await clock.advance(10_000)
  assert.deepEqual([outcomes, calls.length], [['ERR_KEYS_UNAVAILABLE'], 3])
})

test('what stays as it is is not tried again', async () => {
  const { clock, ask, outcomes, calls } = setUp([denied])
  ask()
  await clock.advance(10_000)
  assert.deepEqual([outcomes, calls.length], [['ERR_KEYS_DENIED'], 1])
})

test('the service is asked again when it said, and by nobody before', async () => {
  const { clock, ask, outcomes, calls } = setUp([busy])
  ask()
  await settle()
  ask()
  await clock.advance(2999)
  assert.equal(calls.length, 1, 'the second waits too')
  await clock.advance(100)
  assert.deepEqual(outcomes, ['signature', 'signature'])
})

test('a pause longer than the deadline is not waited for', async () => {
  const { ask, outcomes } = setUp([busy], 2000)
  ask()
  await settle()
  assert.deepEqual(outcomes, ['ERR_KEYS_BUSY'])
})

test('the deadline is told as such, and the caller’s reason as it is', async () => {
  const { remote } = setUp([], 20)
  const never = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
  await assert.rejects(remote.run('sign', never), { code: 'ERR_KEYS_DEADLINE' })
  const gone = new Error('the client went away')
  await assert.rejects(remote.run('sign', never, AbortSignal.abort(gone)), gone)
})

test('five failures in a row open the circuit; one may try later, and closes it', async () => {
  const { clock, ask, outcomes, calls, remote } = setUp(Array.from({ length: 6 }, () => down))
  ask()
  await clock.advance(500)
  ask()
  await clock.advance(500)
  assert.equal(calls.length, 5)
  assert.equal(remote.health().state, 'down')
  ask()
  await settle()
  assert.equal(calls.length, 5, 'nobody is asked')
  assert.equal(outcomes.length, 3, 'and whoever wanted to is told at once')
  await clock.advance(1000)
  ask() // fails: open for two seconds
  await clock.advance(1500)
  ask()
  await settle()
  assert.equal(calls.length, 6)
  await clock.advance(1000)
  ask()
  await settle()
  assert.deepEqual(outcomes.at(-1), 'signature')
  assert.equal(remote.health().state, 'up')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HandshakeQueue } from './handshake-queue.ts'

const STEPS_A_TURN = 32

/** The next turn of the event loop, after everything that was queued for it before. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Queues jobs that note their number, all in one turn. */
function queueJobs(queue: HandshakeQueue, count: number, done: number[]): void {
  for (let job = 0; job < count; job++) queue.run(() => done.push(job))
}

test('jobs run at once while the turn has room, and never more than 32 in a turn', async () => {
  const queue = new HandshakeQueue()
  const done: number[] = []
  queueJobs(queue, 100, done)
  const afterTurn = [done.length]
  while (done.length < 100) {
    await turn()
    afterTurn.push(done.length)
  }
  assert.deepEqual(afterTurn, [32, 64, 96, 100])
  assert.equal(queue.length, 0)
})

test('jobs run in the order they came, also those that come while others wait', async () => {
  const queue = new HandshakeQueue()
  const done: number[] = []
  queueJobs(queue, 50, done)
  await turn()
  for (let job = 50; job < 90; job++) queue.run(() => done.push(job))
  while (queue.length > 0) await turn()
  assert.deepEqual(
    done,
    Array.from({ length: 90 }, (_, job) => job),
  )
})

test('what waits comes before what arrives later, although the new turn has room', async () => {
  const queue = new HandshakeQueue()
  const done: string[] = []
  for (let job = 0; job < 2 * STEPS_A_TURN + 1; job++) queue.run(() => done.push('first'))
  await turn()
  queue.run(() => done.push('second'))
  assert.equal(done.length, 2 * STEPS_A_TURN)
  await turn()
  assert.deepEqual(done.slice(-2), ['first', 'second'])
})

test('a job that is queued from inside a job counts like any other', async () => {
  const queue = new HandshakeQueue()
  const done: number[] = []
  const again = (): void => {
    if (done.push(done.length) < 70) queue.run(again)
  }
  queue.run(again)
  const afterTurn = [done.length]
  while (done.length < 70) {
    await turn()
    afterTurn.push(done.length)
  }
  assert.deepEqual(afterTurn, [32, 64, 70])
})

test('jobs that each queue one more are all run', async () => {
  const queue = new HandshakeQueue()
  const done: string[] = []
  for (let job = 0; job < 60; job++) {
    queue.run(() => {
      done.push(`outer ${job}`)
      queue.run(() => done.push(`inner ${job}`))
    })
  }
  while (queue.length > 0) await turn()
  await turn()
  assert.equal(new Set(done).size, 120)
  for (let job = 0; job < 60; job++)
    assert.ok(done.indexOf(`outer ${job}`) < done.indexOf(`inner ${job}`), `job ${job}`)
})

test('the room of a turn is given once, however the jobs come', async () => {
  const queue = new HandshakeQueue()
  const done: number[] = []
  queueJobs(queue, 20, done)
  await Promise.resolve()
  queueJobs(queue, 20, done)
  assert.equal(done.length, 32)
  await turn()
  assert.equal(done.length, 40)
})

test('a job that throws does not hold up those behind it', async () => {
  const queue = new HandshakeQueue()
  const done: number[] = []
  const failure = new Error('a job failed')
  const bad = (): void => {
    throw failure
  }
  assert.throws(() => queue.run(bad), failure)
  queueJobs(queue, 40, done)
  while (queue.length > 0) await turn()
  assert.equal(done.length, 40)
})

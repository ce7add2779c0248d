// Renewal over years of a clock that the test turns.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger } from '@latchkey/core'
import { EnrolmentError, type RenewalOptions, startRenewal, type Validity } from '@latchkey/enrolment'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const LIFE: Validity = { notBefore: 0, notAfter: 90 * DAY }

class Bench implements AsyncDisposable {
  /** As timers count it. */
  #passed = 0
  #clockError = 0
  validity = LIFE
  /** What the next enrolments do; then they all work. */
  readonly outcomes: (Error | undefined)[] = []
  readonly enrolledAt: number[] = []
  reloadedAt: number[] = []
  reloadError: Error | undefined
  readonly lines: string[] = []
  longestWait = 0
  #timer: { at: number; done: () => void } | undefined
  readonly renewal

  constructor(options: Partial<RenewalOptions> = {}) {
    this.renewal = startRenewal({
      validity: () => this.validity,
      enrol: async () => {
        this.enrolledAt.push(this.now)
        const error = this.outcomes.shift()
        if (error !== undefined) throw error
        this.validity = { notBefore: this.now, notAfter: this.now + 90 * DAY }
      },
      reload: () => {
        if (this.reloadError !== undefined) throw this.reloadError
        this.reloadedAt.push(this.now)
      },
      logger: createLogger(({ level, text }) => this.lines.push(`${level} ${text}`)),
      now: () => this.now,
      random: () => 0,
      wait: (ms, done) => {
        this.longestWait = Math.max(this.longestWait, ms)
        this.#timer = { at: this.#passed + ms, done }
        return () => {
          this.#timer = undefined
        }
      },
      ...options,
    })
  }

  get now(): number {
    return this.#passed + this.#clockError
  }

  /** The clock jumps; timers do not notice. */
  set now(now: number) {
    this.#clockError = now - this.#passed
  }

  async pass(ms: number): Promise<void> {
    const end = this.#passed + ms
    while (this.#timer !== undefined && this.#timer.at <= end) {
      const { at, done } = this.#timer
      this.#timer = undefined
      this.#passed = at
      done()
      await new Promise(setImmediate)
    }
    this.#passed = end
  }

  get isWaiting(): boolean {
    return this.#timer !== undefined
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.renewal.stop()
  }
}

test('renewal: at two thirds of the life, then reloaded, and again at two thirds of the next', async () => {
  await using bench = new Bench()
  await bench.pass(59 * DAY)
  assert.deepEqual(bench.enrolledAt, [])
  await bench.pass(70 * DAY)
  assert.deepEqual(bench.enrolledAt, [60 * DAY, 120 * DAY])
  assert.deepEqual(bench.reloadedAt, bench.enrolledAt)
  assert.deepEqual(bench.lines, ['info server certificate renewed', 'info server certificate renewed'])
  assert.equal(bench.longestWait, HOUR)
})

test('renewal: servers that were enrolled together are apart by up to a twentieth of the life', async () => {
  await using bench = new Bench({ random: () => 0.999 })
  await bench.pass(80 * DAY)
  const [at = 0] = bench.enrolledAt
  assert.ok(at > 64 * DAY && at <= 64.5 * DAY)
})

test('renewal: failures are tried again after a minute, two, four, to an hour, each with a line', async () => {
  await using bench = new Bench()
  for (let i = 0; i < 9; i++) bench.outcomes.push(new EnrolmentError('ERR_ENROLMENT_UNREACHABLE'))
  await bench.pass(61 * DAY)
  const gaps = bench.enrolledAt.slice(1).map((at, index) => (at - (bench.enrolledAt[index] ?? 0)) / MINUTE)
  assert.deepEqual(gaps, [1, 2, 4, 8, 16, 32, 60, 60, 60])
  assert.equal(bench.reloadedAt.length, 1)
  assert.equal(
    bench.lines[0],
    'error server certificate not renewed, going on with the old one: the enrolment endpoint cannot be reached (ERR_ENROLMENT_UNREACHABLE); next try in 1 min',
  )
})

test('renewal: what the API asks for by Retry-After is kept, for a day at most', async () => {
  await using bench = new Bench()
  bench.outcomes.push(
    new EnrolmentError('ERR_ENROLMENT_UNAVAILABLE', { retryAfterMs: 3 * HOUR }),
    new EnrolmentError('ERR_ENROLMENT_UNAVAILABLE', { retryAfterMs: 900 * DAY }),
  )
  await bench.pass(64 * DAY)
  assert.deepEqual(bench.enrolledAt, [60 * DAY, 60 * DAY + 3 * HOUR, 61 * DAY + 3 * HOUR])
})

test('renewal: a clock that is set forward is noticed within an hour', async () => {
  await using bench = new Bench()
  await bench.pass(DAY)
  bench.now = 70 * DAY
  await bench.pass(HOUR)
  assert.equal(bench.enrolledAt.length, 1)
})

test('renewal: a clock that is set back does not make a wait of minutes one of days', async () => {
  await using bench = new Bench()
  bench.outcomes.push(new Error('no'))
  bench.now = 70 * DAY
  await bench.pass(HOUR) // the first look
  assert.equal(bench.enrolledAt.length, 1)
  bench.now = 61 * DAY
  await bench.pass(2 * HOUR)
  assert.equal(bench.enrolledAt.length, 2)
})

test('renewal: a certificate that someone else has put there is waited for in its turn', async () => {
  await using bench = new Bench()
  await bench.pass(59 * DAY)
  bench.validity = { notBefore: 59 * DAY, notAfter: 149 * DAY }
  await bench.pass(59 * DAY)
  assert.deepEqual(bench.enrolledAt, [])
  await bench.pass(2 * DAY)
  assert.equal(bench.enrolledAt.length, 1)
})

test('renewal: one that cannot be taken into use is not ordered again, only reloaded again', async () => {
  await using bench = new Bench()
  bench.reloadError = new Error('not now')
  await bench.pass(60 * DAY + 2 * MINUTE)
  assert.match(
    bench.lines[0] ?? '',
    /renewed, but not taken into use, going on with the old one: not now; next/,
  )
  assert.equal(bench.enrolledAt.length, 1)
  bench.reloadError = undefined
  await bench.pass(HOUR)
  assert.deepEqual([bench.enrolledAt.length, bench.reloadedAt.length], [1, 1])
})

test('renewal: a certificate that cannot be read is renewed, and not again and again', async () => {
  await using bench = new Bench({
    validity: () => {
      throw new Error('gone')
    },
  })
  bench.outcomes.push(new Error('no'))
  await bench.pass(2 * HOUR)
  assert.deepEqual(bench.enrolledAt, [0, MINUTE, HOUR + MINUTE])
})

test('renewal: stopped, it waits for nothing, gives up what runs, and says nothing of it', async () => {
  let isAborted = false
  const bench = new Bench({
    enrol: (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          isAborted = true
          reject(signal.reason as Error)
        })
      }),
  })
  await bench.pass(60 * DAY)
  await bench.renewal.stop()
  assert.ok(isAborted)
  assert.ok(!bench.isWaiting)
  assert.deepEqual(bench.lines, [])
  await bench.renewal.stop()
})

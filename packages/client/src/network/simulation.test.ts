// The network against key servers that exist in numbers only, in time that does not pass: far and near, slow, silent, full,
// gone and back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '@latchkey/core/fake-clock'
import { ClientError } from '../errors.ts'
import {
  DEFAULT_NETWORK_LIMITS,
  KeyServerNetwork,
  type NetworkClient,
  type NetworkLimits,
} from './network.ts'

const ANSWER = { opcode: 0xf0, payload: Uint8Array.of(1) }
const SIGN = { opcode: 0x15, ski: new Uint8Array(20), payload: new Uint8Array(32) }

type Mode = 'well' | 'refuses' | 'silent'

/** A key server with so many signers, each busy for `serviceMs` with a request. */
class SimulatedServer implements NetworkClient {
  readonly address: string
  readonly state = 'open'
  mode: Mode = 'well'
  asked = 0
  answered = 0
  /** So many of the requests take ten times as long. */
  slowShare = 0
  #busyUntil: number[]
  readonly #clock: FakeClock
  readonly #random: () => number
  readonly rttMs: number
  serviceMs: number
  jitter: number

  constructor(
    clock: FakeClock,
    random: () => number,
    { name, rttMs, serviceMs = 1, signers = 4, jitter = 0 }: Place,
  ) {
    this.#clock = clock
    this.#random = random
    this.address = name
    this.rttMs = rttMs
    this.serviceMs = serviceMs
    this.jitter = jitter
    this.#busyUntil = Array.from({ length: signers }, () => 0)
  }

  request: NetworkClient['request'] = (_operation, { signal, timeoutMs = 10_000 } = {}) => {
    this.asked++
    const now = this.#clock.now()
    const arrives = now + this.#travelMs() / 2
    const signer = this.#busyUntil.indexOf(Math.min(...this.#busyUntil))
    const done =
      Math.max(arrives, this.#busyUntil[signer] ?? 0) +
      this.serviceMs * (this.#random() < this.slowShare ? 10 : 1)
    if (this.mode === 'well') this.#busyUntil[signer] = done
    return this.#settle(done + this.#travelMs() / 2 - now, timeoutMs, signal).then(() => {
      this.answered++
      return ANSWER
    })
  }

  ping: NetworkClient['ping'] = (_payload, { timeoutMs = 2000 } = {}) => {
    const rttMs = this.#travelMs()
    return this.#settle(rttMs, timeoutMs, undefined).then(() => ({ rttMs }))
  }

  #travelMs(): number {
    return this.rttMs * (1 + this.jitter * this.#random())
  }

  #settle(ms: number, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (code: 'ERR_CLIENT_TRANSPORT' | 'ERR_CLIENT_TIMEOUT' | 'ERR_CLIENT_ABORTED'): void =>
        reject(new ClientError(code))
      signal?.addEventListener('abort', () => fail('ERR_CLIENT_ABORTED'))
      if (this.mode === 'refuses') this.#clock.after(this.rttMs / 2, () => fail('ERR_CLIENT_TRANSPORT'))
      else if (this.mode === 'silent' || ms > timeoutMs)
        this.#clock.after(timeoutMs, () => fail('ERR_CLIENT_TIMEOUT'))
      // What is on its way when a server falls silent does not arrive.
      else this.#clock.after(ms, () => (this.mode === 'silent' ? undefined : resolve()))
    })
  }
}

interface Place {
  readonly name: string
  readonly rttMs: number
  readonly serviceMs?: number
  readonly signers?: number
  readonly jitter?: number
}

interface Outcome {
  readonly ms: number
  readonly error: string | undefined
}

class Simulation implements Disposable {
  readonly clock = new FakeClock()
  readonly servers: readonly SimulatedServer[]
  readonly network: KeyServerNetwork
  #seed = 1

  constructor(places: readonly Place[], limits: Partial<NetworkLimits> = {}) {
    this.servers = places.map((place) => new SimulatedServer(this.clock, this.random, place))
    this.network = new KeyServerNetwork({
      clients: this.servers,
      clock: this.clock,
      random: this.random,
      limits,
    })
  }

  /** The same numbers each time: Park and Miller's generator. */
  readonly random = (): number => {
    this.#seed = (this.#seed * 48_271) % 2_147_483_647
    return this.#seed / 2_147_483_647
  }

  /** So many requests a second for so long; resolves when each is answered or failed. */
  async load(perSecond: number, seconds: number): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    const count = perSecond * seconds
    for (let n = 0; n < count; n++) {
      const startedAt = this.clock.now()
      const note = (error: string | undefined): void => {
        outcomes.push({ ms: this.clock.now() - startedAt, error })
      }
      this.network.request(SIGN, { timeoutMs: 5000 }).then(
        () => note(undefined),
        (error: Error & { code?: string }) => note(error.code ?? error.message),
      )
      await this.clock.advance(1000 / perSecond)
    }
    await this.clock.advance(6000)
    return outcomes
  }

  share(name: string): number {
    const all = this.servers.reduce((sum, { answered }) => sum + answered, 0)
    return (this.servers.find(({ address }) => address === name)?.answered ?? 0) / all
  }

  forget(): void {
    for (const server of this.servers) Object.assign(server, { asked: 0, answered: 0 })
  }

  server(name: string): SimulatedServer {
    return this.servers.find(({ address }) => address === name) as SimulatedServer
  }

  [Symbol.dispose](): void {
    this.network[Symbol.dispose]()
  }
}

/** Milliseconds that this share of the requests took at most. */
const p = (outcomes: readonly Outcome[], share: number): number =>
  outcomes.map(({ ms }) => ms).toSorted((a, b) => a - b)[Math.floor(outcomes.length * share)] ?? 0
const failed = (outcomes: readonly Outcome[]): Outcome[] =>
  outcomes.filter(({ error }) => error !== undefined)

const FOUR: readonly Place[] = [
  { name: 'far', rttMs: 250 },
  { name: 'near', rttMs: 2 },
  { name: 'middle', rttMs: 80 },
  { name: 'close', rttMs: 20 },
]

test('the nearest is asked, at least 99 times of 100', async () => {
  using it = new Simulation(FOUR)
  await it.clock.advance(1000)
  const outcomes = await it.load(100, 20)
  assert.equal(failed(outcomes).length, 0)
  assert.ok(it.share('near') >= 0.99, `${it.share('near')}`)
})

test('with jitter it is still the nearest', async () => {
  using it = new Simulation(FOUR.map((place) => ({ ...place, jitter: 0.5 })))
  await it.clock.advance(5000)
  it.forget()
  await it.load(100, 20)
  assert.ok(it.share('near') >= 0.99, `${it.share('near')}`)
})

test('several as near share the load', async () => {
  using it = new Simulation([
    { name: 'a', rttMs: 5 },
    { name: 'b', rttMs: 5 },
    { name: 'c', rttMs: 5.2 },
    { name: 'elsewhere', rttMs: 100 },
  ])
  await it.clock.advance(1000)
  await it.load(300, 10)
  for (const name of ['a', 'b', 'c'])
    assert.ok(Math.abs(it.share(name) - 1 / 3) < 0.1, `${name} ${it.share(name)}`)
  assert.equal(it.share('elsewhere'), 0)
})

for (const mode of ['refuses', 'silent'] as const) {
  test(`the nearest ${mode}: no request fails, and all is elsewhere within a second`, async () => {
    using it = new Simulation(FOUR)
    await it.clock.advance(1000)
    await it.load(100, 3)
    it.server('near').mode = mode
    const during = await it.load(100, 1)
    assert.deepEqual(failed(during), [])
    it.forget()
    const after = await it.load(100, 5)
    assert.deepEqual(failed(after), [])
    assert.ok(it.share('close') >= 0.99, `${it.share('close')}`)
    assert.equal(it.server('near').asked, 0, 'it is left alone')
    // One hedge, its delay, and the way to the next one.
    const slowest = Math.max(...during.map(({ ms }) => ms))
    assert.ok(slowest <= DEFAULT_NETWORK_LIMITS.maxHedgeMs + 25, `${slowest}`)
    assert.ok(p(after, 0.99) < 30)
  })
}

test('it is asked again when it is back, little by little', async () => {
  using it = new Simulation(FOUR)
  await it.clock.advance(1000)
  it.server('near').mode = 'refuses'
  await it.load(100, 5)
  it.server('near').mode = 'well'
  const isEjected = (): boolean | undefined =>
    it.network.health().find(({ address }) => address === 'near')?.isEjected
  while (isEjected() === true) await it.clock.advance(100)
  it.forget()
  const early = it.load(100, 2)
  await early
  assert.ok(it.share('near') > 0 && it.share('near') < 0.4, `not all at once: ${it.share('near')}`)
  await it.clock.advance(20_000)
  it.forget()
  await it.load(100, 10)
  assert.ok(it.share('near') >= 0.99, `${it.share('near')}`)
})

test('one that is full spills to the next', async () => {
  // 4 signers of 10 ms: 400 a second; three times as many are asked.
  using it = new Simulation([
    { name: 'near', rttMs: 2, serviceMs: 10 },
    { name: 'next', rttMs: 20, serviceMs: 1, signers: 16 },
  ])
  await it.clock.advance(1000)
  const outcomes = await it.load(1200, 5)
  assert.deepEqual(failed(outcomes), [])
  assert.ok(it.share('next') > 0.5, `${it.share('next')}`)
  assert.ok(p(outcomes, 0.99) < 150, `${p(outcomes, 0.99)}`)
  // And it is used again when there is less to do.
  await it.clock.advance(20_000)
  it.forget()
  await it.load(100, 10)
  assert.ok(it.share('near') > 0.5, `${it.share('near')}`)
})

test('more than all can do is refused at once, in place of all being late', async () => {
  using it = new Simulation([{ name: 'only', rttMs: 2, serviceMs: 1000, signers: 1 }], { maxInFlight: 50 })
  await it.clock.advance(1000)
  const outcomes = await it.load(200, 2)
  const refused = outcomes.filter(({ error }) => error === 'ERR_CLIENT_OVERLOADED')
  assert.ok(refused.length > 100)
  assert.ok(refused.every(({ ms }) => ms === 0))
  assert.equal(it.network.counts.refused, refused.length)
})

test('of two that are well, no more than a tenth of the requests is asked of both', async () => {
  const places = ['a', 'b'].map((name) => ({ name, rttMs: 2, serviceMs: 40, signers: 256 }))
  // Every answer takes longer than a hedge waits: each of the requests would be asked twice.
  using it = new Simulation(places, { maxHedgeMs: 15 })
  await it.clock.advance(1000)
  await it.load(600, 5)
  const { hedges } = it.network.counts
  assert.ok(hedges > 100 && hedges <= 3000 * 0.1 + 60, `${hedges} of 3,000`)
})

test('an answer that is late now and then is had from the other one', async () => {
  const places = ['a', 'b'].map((name) => ({ name, rttMs: 2, serviceMs: 10, signers: 64 }))
  using it = new Simulation(places)
  await it.clock.advance(1000)
  await it.load(200, 2)
  for (const server of it.servers) server.slowShare = 0.03
  const outcomes = await it.load(200, 10)
  assert.ok(it.network.counts.hedgesWon > 20)
  assert.ok(p(outcomes, 0.99) < 60, `${p(outcomes, 0.99)} ms, 102 without`)
})

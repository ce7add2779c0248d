// Several key servers as one: each request goes to the nearest that answers.
//
// All of them are pinged every few seconds; what was seen of each is its record, who is asked is `choose`, how is `firstAnswer`. A
// server that failed three times in a row is left out for a while and comes back slowly.
import { KeylessError, type Operation } from '@latchkey/wire'
import type { KeyServerClient, RequestOptions } from '../client.ts'
import { ClientError } from '../errors.ts'
import { firstAnswer } from './attempts.ts'
import { choose } from './choice.ts'
import { type Clock, type Logger, silentLogger } from '@latchkey/core'
import { SYSTEM_CLOCK } from './system-clock.ts'
import { HedgeBudget } from './hedge-budget.ts'
import { type Observed, ServerRecord } from './server-record.ts'

export type NetworkClient = Pick<KeyServerClient, 'address' | 'state' | 'request' | 'ping'>

export interface NetworkOptions {
  /** Undisposed of by the network: their owner ends them. */
  readonly clients: readonly NetworkClient[]
  readonly limits?: Partial<NetworkLimits>
  readonly logger?: Logger
  readonly clock?: Clock
  /** In [0, 1). */
  readonly random?: () => number
}

export interface NetworkLimits {
  /** Between two pings of a server, give or take a fifth. */
  readonly pingMs: number
  readonly pingTimeoutMs: number
  /** Requests under way at one server. */
  readonly maxInFlightPerServer: number
  /** Requests under way in all: more are refused at once, which is better than all being late. */
  readonly maxInFlight: number
  /** A hedge waits for the 95th percentile of a server's answers, and within these bounds. */
  readonly minHedgeMs: number
  readonly maxHedgeMs: number
}

export const DEFAULT_NETWORK_LIMITS: NetworkLimits = {
  pingMs: 2000,
  pingTimeoutMs: 2000,
  maxInFlightPerServer: 512,
  maxInFlight: 2048,
  minHedgeMs: 5,
  maxHedgeMs: 250,
}

/** How a server is seen, for health pages and metrics. */
export interface NetworkHealth extends Observed {
  readonly address: string
  /** Requests that it answered, since the network was made; not those that another one had answered before. */
  readonly answers: number
  readonly p95Ms: number | undefined
}

/** Counted since the network was made. */
export interface NetworkCounts {
  requests: number
  hedges: number
  /** Answered by the second of two. */
  hedgesWon: number
  /** Another server was asked because one failed. */
  failovers: number
  ejections: number
  /** Refused, because too many were under way. */
  refused: number
}

/** A server says that it has not got a key: it is asked last for it, for so long. */
const LACKING_MS = 30_000
const MAX_LACKING = 1000
const OVERLOAD_NOTE_MS = 10_000

interface Member {
  readonly client: NetworkClient
  readonly record: ServerRecord
  /** By SKI in hex: until when. */
  readonly lacking: Map<string, number>
  inFlight: number
  answers: number
  callOffPing: () => void
}

export class KeyServerNetwork implements Disposable {
  readonly #members: readonly Member[]
  readonly #limits: NetworkLimits
  readonly #logger: Logger
  readonly #clock: Clock
  readonly #random: () => number
  readonly #budget = new HedgeBudget()
  readonly #counts: NetworkCounts = {
    requests: 0,
    hedges: 0,
    hedgesWon: 0,
    failovers: 0,
    ejections: 0,
    refused: 0,
  }
  #inFlight = 0
  #notedAt = Number.NEGATIVE_INFINITY
  #isClosed = false

  constructor({ clients, limits, logger, clock, random }: NetworkOptions) {
    if (clients.length === 0) throw new RangeError('a network of no key servers')
    this.#limits = { ...DEFAULT_NETWORK_LIMITS, ...limits }
    this.#logger = logger ?? silentLogger
    this.#clock = clock ?? SYSTEM_CLOCK
    this.#random = random ?? Math.random
    this.#members = clients.map((client) => ({
      client,
      record: new ServerRecord(),
      lacking: new Map(),
      inFlight: 0,
      answers: 0,
      callOffPing: () => {},
    }))
    for (const member of this.#members) void this.#measure(member)
  }

  get counts(): Readonly<NetworkCounts> {
    return { ...this.#counts }
  }

  health(): NetworkHealth[] {
    return this.#members.map((member) => ({
      ...this.#observed(member, undefined),
      address: member.client.address,
      answers: member.answers,
      p95Ms: member.record.p95Ms(),
    }))
  }

  /**
   * The answer of the first server that has one.
   *
   * @throws {ClientError} ERR_CLIENT_OVERLOADED if too many requests are under way; else as {@link KeyServerClient.request}, of
   * the last server that was asked.
   */
  async request(operation: Operation, options: RequestOptions = {}): Promise<Operation> {
    const { signal, timeoutMs } = options
    this.#admit()
    const ski = operation.ski === undefined ? undefined : hex(operation.ski)
    const observed = this.#members.map((member) => this.#observed(member, ski))
    const order = choose(observed, this.#random)
    const endsAt = timeoutMs === undefined ? undefined : this.#clock.now() + timeoutMs
    const startedAt = this.#clock.now()
    let asked = 0
    let isHedged = false
    this.#inFlight++
    try {
      return await firstAnswer(
        order,
        {
          ask: async (index, abort) => {
            const isFirst = asked++ === 0
            if (!isFirst && !isHedged) this.#counts.failovers++
            const wasHedge = !isFirst && isHedged
            const leftMs = endsAt === undefined ? undefined : Math.max(1, endsAt - this.#clock.now())
            const answer = await this.#ask(
              index,
              operation,
              { ...options, signal: abort, timeoutMs: leftMs },
              ski,
            )
            if (wasHedge) this.#counts.hedgesWon++
            return answer
          },
          hedgeAfterMs: (index) => this.#hedgeAfterMs(index),
          mayHedge: (index) => {
            isHedged = this.#mayHedge(index, startedAt)
            return isHedged
          },
          isFinal: () => signal?.aborted === true,
        },
        { clock: this.#clock, signal: undefined, ...(signal === undefined ? {} : { signal }) },
      )
    } catch (error) {
      if (signal?.aborted === true) throw new ClientError('ERR_CLIENT_ABORTED', { cause: signal.reason })
      throw error
    } finally {
      this.#inFlight--
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    for (const { callOffPing } of this.#members) callOffPing()
  }

  #admit(): void {
    if (this.#inFlight < this.#limits.maxInFlight) {
      this.#counts.requests++
      this.#budget.requested()
      return
    }
    this.#counts.refused++
    const now = this.#clock.now()
    if (now - this.#notedAt > OVERLOAD_NOTE_MS) {
      this.#notedAt = now
      this.#logger.error(
        `overload: ${this.#inFlight} requests wait for the key servers, and more are refused; hint: add a key server, or find out why they are slow`,
      )
    }
    throw new ClientError('ERR_CLIENT_OVERLOADED', { detail: `${this.#inFlight} requests under way` })
  }

  #observed({ client, record, lacking, inFlight }: Member, ski: string | undefined): Observed {
    const now = this.#clock.now()
    const until = ski === undefined ? undefined : lacking.get(ski)
    return {
      ...record.observed(now),
      inFlight,
      maxInFlight: this.#limits.maxInFlightPerServer,
      isConnected: client.state === 'open',
      lacksKey: until !== undefined && now < until,
    }
  }

  async #ask(
    index: number,
    operation: Operation,
    options: RequestOptions,
    ski: string | undefined,
  ): Promise<Operation> {
    const member = this.#members[index] as Member
    const startedAt = this.#clock.now()
    member.inFlight++
    try {
      const answer = await member.client.request(operation, options)
      const now = this.#clock.now()
      member.record.answered(now - startedAt, now)
      member.answers++
      return answer
    } catch (error) {
      this.#noteFailure(member, error, startedAt, ski)
      throw error
    } finally {
      member.inFlight--
    }
  }

  #noteFailure(member: Member, error: unknown, startedAt: number, ski: string | undefined): void {
    const now = this.#clock.now()
    if (error instanceof KeylessError) {
      // It is there and says no: that is a matter of this key, or of its home.
      if (error.code === 'ERR_KEYLESS_INTERNAL') return this.#failed(member, now)
      member.record.answered(now - startedAt, now)
      if (error.code === 'ERR_KEYLESS_KEY_NOT_FOUND' && ski !== undefined) {
        if (member.lacking.size >= MAX_LACKING) member.lacking.clear()
        member.lacking.set(ski, now + LACKING_MS)
      }
      return
    }
    // Called off by us or the caller, or refused by our own limits: nothing is known of the server by that.
    if (error instanceof ClientError && QUIET.has(error.code)) return
    this.#failed(member, now)
  }

  #failed({ record, client }: Member, now: number): void {
    if (!record.failed(now)) return
    this.#counts.ejections++
    this.#logger.warning(`key server ${client.address} fails: left out for a while`, {
      keyServer: client.address,
    })
  }

  #hedgeAfterMs(index: number): number {
    const { minHedgeMs, maxHedgeMs } = this.#limits
    const p95Ms = this.#members[index]?.record.p95Ms() ?? maxHedgeMs
    return Math.min(maxHedgeMs, Math.max(minHedgeMs, p95Ms))
  }

  /** Beside one that gives no sign of life any number may be asked of another; beside one that is only slow, a tenth. */
  #mayHedge(index: number, startedAt: number): boolean {
    const member = this.#members[index] as Member
    const isSilent = member.record.answeredAt < startedAt
    if (isSilent) this.#failed(member, this.#clock.now())
    if (!isSilent && !this.#budget.take()) return false
    this.#counts.hedges++
    return true
  }

  async #measure(member: Member): Promise<void> {
    const { pingMs, pingTimeoutMs } = this.#limits
    try {
      const { rttMs } = await member.client.ping(undefined, { timeoutMs: pingTimeoutMs })
      const wasEjected = member.record.isEjected
      member.record.pinged(rttMs, this.#clock.now())
      if (wasEjected && !member.record.isEjected) {
        const { address } = member.client
        this.#logger.info(`key server ${address} answers again`, { keyServer: address })
      }
    } catch (error) {
      if (!(error instanceof ClientError && QUIET.has(error.code))) this.#failed(member, this.#clock.now())
    }
    if (this.#isClosed) return
    member.callOffPing = this.#clock.after(
      pingMs * (0.8 + 0.4 * this.#random()),
      () => void this.#measure(member),
    )
  }
}

const QUIET: ReadonlySet<string> = new Set([
  'ERR_CLIENT_ABORTED',
  'ERR_CLIENT_CLOSED',
  'ERR_CLIENT_OVERLOADED',
])

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

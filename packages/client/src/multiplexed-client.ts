// The shell around the requests: any number at once over the one connection of a kept link.
//
// Which events can cross, and which wins:
//   reply / deadline, abort   whoever takes a request out of `#pending` settles it; a reply that comes later finds no
//                             request under its id and is counted as late
//   reply / lost connection   replies that were read before the end count; a failed connection reads no more packets
//   lost / next dial          a connection is told of its loss once, and only then the link dials again
//   close / dial              a dial that was cancelled never opens
import { type ClockMs, silentLogger } from '@latchkey/core'
import {
  encodePacket,
  type FramedPacket,
  KeylessError,
  OPCODES,
  type Operation,
  readPacket,
  readReply,
} from '@latchkey/wire'
import type { KeyServerClient, KeyServerCounts, KeyServerHealth, RequestOptions } from './client.ts'
import { Dialler } from './dial.ts'
import { ClientError, type ClientErrorCode } from './errors.ts'
import { KeptLink, reasonOf } from './kept-link.ts'
import type { LinkState } from './link.ts'
import { type ClientLimits, type KeyServerClientOptions, limitsOf } from './options.ts'
import { type PendingRequest, PendingRequests } from './pending-requests.ts'

/** First try and one more: a key server may close an idle connection just while we write. */
const MAX_ATTEMPTS = 2
/** How often deadlines are looked at while something is pending: they are met to within this time. */
const TICK_MS = 25
/** About what one write takes: what waits behind it can still be given up. */
const BATCH_BYTES = 64 * 1024

const PING = { opcode: OPCODES.OpPing.code }

interface Answer {
  readonly reply: Operation
  readonly rttMs: number
}

/**
 * @throws {Error} of Node if a certificate or key cannot be used.
 * @throws {RangeError} on a port or limit that cannot be.
 *
 * @example
 * await using client = createKeyServerClient({ host: 'keys.example.com', ca, cert, key })
 * const { rttMs } = await client.ping()
 */
export function createKeyServerClient(options: KeyServerClientOptions): KeyServerClient {
  return new MultiplexedClient(options)
}

class MultiplexedClient implements KeyServerClient {
  readonly address: string
  readonly #clock: ClockMs
  readonly #limits: ClientLimits
  readonly #link: KeptLink
  readonly #pending = new PendingRequests()
  readonly #counts: KeyServerCounts = {
    requests: 0,
    retries: 0,
    lateReplies: 0,
    dials: 0,
    failedDials: 0,
    lostConnections: 0,
  }
  #rttMs: number | undefined
  #isFlushScheduled = false
  #tickTimer: NodeJS.Timeout | undefined
  #isTickUrgent = false
  #closing: Promise<void> | undefined
  #drainDeadline = Infinity
  #onDrained: (() => void) | undefined

  constructor(options: KeyServerClientOptions) {
    const dialler = new Dialler(options)
    const limits = limitsOf(options)
    const clock = options.clock ?? (() => performance.now())
    const logger = (options.logger ?? silentLogger).with({ keyServer: dialler.text })
    const random = options.random ?? Math.random
    this.address = dialler.text
    this.#clock = clock
    this.#limits = limits
    this.#link = new KeptLink(
      { dialler, limits, logger, clock, random, counts: this.#counts },
      {
        onWritable: () => this.#flush(),
        onPacket: (framed) => this.#receive(framed),
        onLost: (error) => this.#rejectAll(this.#pending.takeExhausted(), 'ERR_CLIENT_TRANSPORT', error),
        onRefused: (error) => this.#rejectAll(this.#pending.takeWaiting(), 'ERR_CLIENT_CONNECT', error),
      },
    )
  }

  get state(): LinkState {
    return this.#link.state
  }

  get health(): KeyServerHealth {
    return {
      state: this.#link.state,
      inFlight: this.#pending.inFlight,
      waiting: this.#pending.waiting,
      rttMs: this.#rttMs,
      lastError: this.#link.lastError,
      counts: { ...this.#counts },
    }
  }

  async request(operation: Operation, options?: RequestOptions): Promise<Operation> {
    const { reply } = await this.#ask(operation, options)
    return readReply(reply)
  }

  async ping(payload?: Uint8Array, options?: RequestOptions): Promise<{ readonly rttMs: number }> {
    const ping = payload === undefined ? PING : { ...PING, payload }
    const { reply, rttMs } = await this.#ask(ping, options)
    if (!isPongOf(readReply(reply), payload)) {
      throw new KeylessError('ERR_KEYLESS_REPLY', { detail: 'not the pong of our ping' })
    }
    this.#rttMs = rttMs
    return { rttMs }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close()
    await this.#closing
  }

  #ask(operation: Operation, { signal, timeoutMs, scoped }: RequestOptions = {}): Promise<Answer> {
    const packet = encodePacket(0, operation)
    const refusal = this.#refusal(packet, signal)
    if (refusal !== undefined) throw refusal
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const abort = (): void => {
      this.#pending.drop(request)
      request.reject(new ClientError('ERR_CLIENT_ABORTED', { cause: signal?.reason }))
    }
    const settle = (): void => {
      signal?.removeEventListener('abort', abort)
      this.#noteDrained()
    }
    const now = this.#clock()
    const request: PendingRequest = {
      packet,
      scoped,
      deadline: now + (timeoutMs ?? this.#limits.operationTimeoutMs),
      maxAttempts: MAX_ATTEMPTS,
      attempts: 0,
      sentAt: now,
      id: undefined,
      resolve: (reply) => {
        settle()
        resolve({ reply, rttMs: this.#clock() - request.sentAt })
      },
      reject: (error) => {
        settle()
        reject(error)
      },
    }
    signal?.addEventListener('abort', abort)
    this.#counts.requests++
    this.#enqueue(request)
    this.#link.want()
    return promise
  }

  #refusal({ length }: Uint8Array, signal: AbortSignal | undefined): ClientError | undefined {
    if (this.#closing !== undefined) return new ClientError('ERR_CLIENT_CLOSED')
    if (signal?.aborted === true) return new ClientError('ERR_CLIENT_ABORTED', { cause: signal.reason })
    const { size, waitingBytes } = this.#pending
    if (size < this.#limits.maxInFlight - 1 && waitingBytes + length <= this.#limits.maxQueuedBytes) {
      return undefined
    }
    return new ClientError('ERR_CLIENT_OVERLOADED', { detail: `${size} pending, ${waitingBytes} bytes wait` })
  }

  /** Goes out at the end of this turn: what all sockets that were readable in it ask goes out in one write. */
  #enqueue(request: PendingRequest): void {
    this.#pending.add(request)
    this.#scheduleTick()
    if (this.#isFlushScheduled) return
    this.#isFlushScheduled = true
    setImmediate(() => {
      this.#isFlushScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    this.#scheduleTick()
    for (let { open } = this.#link; open !== undefined && !open.connection.isBlocked; { open } = this.#link) {
      if (this.#pending.waiting === 0) return
      const now = this.#clock()
      if (this.#pending.inFlight === 0) open.liveness.startedOwing(now)
      open.connection.write(this.#nextBatch(now, open.connection.knowsScopes))
    }
  }

  #nextBatch(now: number, knowsScopes: boolean): Uint8Array[] {
    const packets: Uint8Array[] = []
    for (let bytes = 0; bytes < BATCH_BYTES; ) {
      const request = this.#pending.send(now)
      if (request === undefined) break
      if (request.attempts > 1) this.#counts.retries++
      const { packet, scoped, id } = request
      // Written only now: whether the key server knows scopes is not known before there is a connection.
      packets.push(knowsScopes && scoped !== undefined ? encodePacket(id ?? 0, scoped) : packet)
      bytes += packet.length
    }
    return packets
  }

  #receive(framed: FramedPacket): void {
    const { open } = this.#link
    open?.liveness.received(this.#clock())
    const request = this.#pending.takeAnswered(framed.header.id)
    let reply: Operation
    try {
      reply = readPacket(framed).operation
    } catch (error) {
      if (!(error instanceof KeylessError)) throw error
      request?.reject(error)
      // Whoever writes malformed packets cannot be trusted to have framed the next one soundly.
      open?.connection.fail(error)
      return
    }
    this.#link.noteAnswered()
    if (request === undefined) this.#counts.lateReplies++
    else request.resolve(reply)
  }

  #rejectAll(requests: readonly PendingRequest[], code: ClientErrorCode, cause?: Error): void {
    for (const request of requests) {
      request.reject(new ClientError(code, cause && { detail: reasonOf(cause), cause }))
    }
  }

  /** One coarse timer for all deadlines and for the pings of the link. */
  #scheduleTick(): void {
    const isUrgent = this.#pending.size > 0
    if (this.#tickTimer !== undefined && (this.#isTickUrgent || !isUrgent)) return
    clearTimeout(this.#tickTimer)
    this.#tickTimer = undefined
    const { open } = this.#link
    if (!isUrgent && open === undefined) return
    const idleMs = (open?.liveness.dueAt(false) ?? 0) - this.#clock()
    this.#isTickUrgent = isUrgent
    // After a turn in which this process was busy, replies are read before anybody is told that they are late.
    const tick = (): unknown => setImmediate(() => this.#tick())
    this.#tickTimer = setTimeout(tick, isUrgent ? TICK_MS : Math.max(TICK_MS, idleMs))
    if (!isUrgent) this.#tickTimer.unref()
  }

  #tick(): void {
    if (this.#link.state === 'closed') return
    this.#tickTimer = undefined
    const now = this.#clock()
    this.#rejectAll(this.#pending.takeExpired(now), 'ERR_CLIENT_TIMEOUT')
    if (now >= this.#drainDeadline) this.#rejectAll(this.#pending.takeAll(), 'ERR_CLIENT_CLOSED')
    else this.#checkLiveness(now)
    this.#scheduleTick()
  }

  #checkLiveness(now: number): void {
    const { open } = this.#link
    switch (open?.liveness.check(now, this.#pending.inFlight > 0)) {
      case 'ping':
        this.#enqueue(this.#keepAlive(now))
        return
      case 'give-up':
        open?.connection.fail(new Error('no sign of life after a ping'))
        return
      case undefined:
    }
  }

  /** A ping of our own: never sent on a second connection, and its time is kept by the liveness of the link. */
  #keepAlive(now: number): PendingRequest {
    const ping: PendingRequest = {
      packet: encodePacket(0, PING),
      deadline: Infinity,
      maxAttempts: 1,
      attempts: 0,
      sentAt: now,
      id: undefined,
      resolve: () => {
        this.#rttMs = this.#clock() - ping.sentAt
        this.#noteDrained()
      },
      reject: () => this.#noteDrained(),
    }
    return ping
  }

  async #close(): Promise<void> {
    const drained = Promise.withResolvers<void>()
    this.#onDrained = drained.resolve
    this.#drainDeadline = this.#clock() + this.#limits.drainTimeoutMs
    this.#noteDrained()
    await drained.promise
    clearTimeout(this.#tickTimer)
    await this.#link.close()
  }

  #noteDrained(): void {
    if (this.#pending.size === 0) this.#onDrained?.()
  }
}

function isPongOf({ opcode, payload }: Operation, sent: Uint8Array = new Uint8Array()): boolean {
  if (opcode !== OPCODES.OpPong.code) return false
  return Buffer.compare(payload ?? new Uint8Array(), sent) === 0
}

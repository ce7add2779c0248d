// The shell around the pure parts: any number of requests at once over one connection that is kept up.
//
// Which events can cross, and which wins:
//   reply / deadline, abort   whoever takes a request out of `#pending` settles it; a reply that comes later finds no
//                             request under its id and is counted as late
//   reply / lost connection   replies that were read before the end count; a failed connection reads no more packets
//   lost / next dial          a connection is told of its loss once, and only then the link dials again
//   close / dial              a dial that was cancelled never opens
import { type ClockMs, type Logger, silentLogger } from '@latchkey/core'
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
import { Connection } from './connection.ts'
import { Dialler } from './dial.ts'
import { ClientError, type ClientErrorCode } from './errors.ts'
import { type Link, type LinkEffect, type LinkEvent, type LinkState, step } from './link.ts'
import { Liveness } from './liveness.ts'
import { type ClientLimits, type KeyServerClientOptions, limitsOf } from './options.ts'
import { type PendingRequest, PendingRequests } from './pending-requests.ts'

/** First try and one more: a key server may close an idle connection just while we write. */
const MAX_ATTEMPTS = 2
/** How often deadlines are looked at while something is pending: they are met to within this time. */
const TICK_MS = 25
/** About what one write takes: what waits behind it can still be given up. */
const BATCH_BYTES = 64 * 1024
/** For so long after its last request a client redials as if somebody waited. */
const BUSY_FOR_MS = 60_000

const PING = { opcode: OPCODES.OpPing.code }

interface Answer {
  readonly reply: Operation
  readonly rttMs: number
}

export class MultiplexedClient implements KeyServerClient {
  readonly #dialler: Dialler
  readonly #logger: Logger
  readonly #clock: ClockMs
  readonly #random: () => number
  readonly #limits: ClientLimits
  readonly #pending = new PendingRequests()
  readonly #counts: KeyServerCounts = {
    requests: 0,
    retries: 0,
    lateReplies: 0,
    dials: 0,
    failedDials: 0,
    lostConnections: 0,
  }
  #link: Link = { state: 'idle' }
  #open: { readonly connection: Connection; readonly liveness: Liveness } | undefined
  #cancelDial: (() => void) | undefined
  #wakeTimer: NodeJS.Timeout | undefined
  #lastError: Error | undefined
  #rttMs: number | undefined
  #lastAskedAt = -Infinity
  #isFlushScheduled = false
  #tickTimer: NodeJS.Timeout | undefined
  #isTickUrgent = false
  #closing: Promise<void> | undefined
  #goodbye: Promise<void> | undefined
  #drainDeadline = Infinity
  #onDrained: (() => void) | undefined

  constructor(options: KeyServerClientOptions) {
    this.#dialler = new Dialler(options)
    this.#logger = (options.logger ?? silentLogger).with({ keyServer: this.#dialler.text })
    this.#clock = options.clock ?? (() => performance.now())
    this.#random = options.random ?? Math.random
    this.#limits = limitsOf(options)
  }

  get address(): string {
    return this.#dialler.text
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
      lastError: this.#lastError,
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

  #ask(operation: Operation, { signal, timeoutMs }: RequestOptions = {}): Promise<Answer> {
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
    this.#lastAskedAt = now
    this.#enqueue(request)
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

  #enqueue(request: PendingRequest): void {
    this.#pending.add(request)
    this.#scheduleTick()
    if (this.#open === undefined) this.#dispatch('wanted')
    else this.#scheduleFlush()
  }

  #rejectAll(requests: readonly PendingRequest[], code: ClientErrorCode, cause?: Error): void {
    for (const request of requests) {
      request.reject(new ClientError(code, cause && { detail: reasonOf(cause), cause }))
    }
  }

  // The link

  #dispatch(event: LinkEvent): void {
    const now = this.#clock()
    const isBusy = now - this.#lastAskedAt < BUSY_FOR_MS
    const { link, effects } = step(this.#link, event, { now, random: this.#random(), isBusy })
    this.#link = link
    for (const effect of effects) this.#run(effect)
  }

  #run(effect: LinkEffect): void {
    switch (effect.effect) {
      case 'dial':
        this.#dial()
        return
      case 'wake':
        clearTimeout(this.#wakeTimer)
        // Being wanted one day does not keep a process running; a pending request does, by its tick.
        this.#wakeTimer = setTimeout(() => this.#dispatch('retry-due'), effect.afterMs).unref()
        return
      case 'refuse-waiting':
        this.#rejectAll(this.#pending.takeWaiting(), 'ERR_CLIENT_CONNECT', this.#lastError)
        return
      case 'hang-up':
        clearTimeout(this.#wakeTimer)
        clearTimeout(this.#tickTimer)
        this.#cancelDial?.()
        this.#goodbye = this.#open?.connection.close()
        return
      default:
        effect satisfies never
    }
  }

  #dial(): void {
    clearTimeout(this.#wakeTimer)
    this.#counts.dials++
    this.#cancelDial = this.#dialler.dial(this.#limits.connectTimeoutMs, {
      onOpen: (socket) => {
        const connection = new Connection(socket, {
          onPacket: (framed) => this.#receive(framed),
          onDrain: () => this.#flush(),
          onLost: (error) => this.#lose(error),
        })
        this.#logger.info('connected to key server', { tls: connection.tlsVersion })
        this.#open = { connection, liveness: new Liveness(this.#limits, this.#clock()) }
        this.#dispatch('dialled')
        this.#scheduleTick()
        this.#flush()
      },
      onFailed: (error) => {
        this.#counts.failedDials++
        this.#noteFailure('cannot reach key server', error)
        this.#dispatch('dial-failed')
      },
    })
  }

  #lose(error: Error): void {
    this.#open = undefined
    this.#counts.lostConnections++
    this.#noteFailure('lost connection to key server', error)
    this.#rejectAll(this.#pending.takeExhausted(), 'ERR_CLIENT_TRANSPORT', error)
    this.#dispatch('lost')
  }

  /** The first failure in a row is news, the others are not. */
  #noteFailure(text: string, error: Error): void {
    const fields = { reason: reasonOf(error) }
    if (this.#lastError === undefined) this.#logger.warning(text, fields)
    else this.#logger.debug(text, fields)
    this.#lastError = error
  }

  // Packets

  /** Once a turn: requests of all sockets that were readable in this turn go out in one write. */
  #scheduleFlush(): void {
    if (this.#isFlushScheduled) return
    this.#isFlushScheduled = true
    setImmediate(() => {
      this.#isFlushScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    while (this.#open !== undefined && !this.#open.connection.isBlocked && this.#pending.waiting > 0) {
      this.#sendBatch(this.#open.connection, this.#open.liveness)
    }
  }

  #sendBatch(connection: Connection, liveness: Liveness): void {
    const now = this.#clock()
    if (this.#pending.inFlight === 0) liveness.startedOwing(now)
    const packets: Uint8Array[] = []
    for (let bytes = 0; bytes < BATCH_BYTES; ) {
      const request = this.#pending.send(now)
      if (request === undefined) break
      if (request.attempts > 1) this.#counts.retries++
      packets.push(request.packet)
      bytes += request.packet.length
    }
    connection.write(packets)
  }

  #receive(framed: FramedPacket): void {
    this.#open?.liveness.received(this.#clock())
    const request = this.#pending.takeAnswered(framed.header.id)
    let reply: Operation
    try {
      reply = readPacket(framed).operation
    } catch (error) {
      if (!(error instanceof KeylessError)) throw error
      request?.reject(error)
      // Whoever writes malformed packets cannot be trusted to have framed the next one soundly.
      this.#open?.connection.fail(error)
      return
    }
    if (this.#link.state === 'open' && !this.#link.isProven) {
      this.#lastError = undefined
      this.#dispatch('answered')
    }
    if (request === undefined) this.#counts.lateReplies++
    else request.resolve(reply)
  }

  // Time: one coarse timer for all deadlines and for the pings of the link

  #scheduleTick(): void {
    const isUrgent = this.#pending.size > 0
    if (this.#tickTimer !== undefined && (this.#isTickUrgent || !isUrgent)) return
    clearTimeout(this.#tickTimer)
    this.#tickTimer = undefined
    if (!isUrgent && this.#open === undefined) return
    const idleMs = (this.#open?.liveness.dueAt(false) ?? 0) - this.#clock()
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
    switch (this.#open?.liveness.check(now, this.#pending.inFlight > 0)) {
      case 'ping':
        this.#enqueue(this.#keepAlive(now))
        return
      case 'give-up':
        this.#open?.connection.fail(new Error('no sign of life after a ping'))
        return
      case undefined:
    }
  }

  /** A ping of our own: never sent on a second connection, and its time is kept by {@link Liveness}. */
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

  // The end

  async #close(): Promise<void> {
    const drained = Promise.withResolvers<void>()
    this.#onDrained = drained.resolve
    this.#drainDeadline = this.#clock() + this.#limits.drainTimeoutMs
    this.#noteDrained()
    await drained.promise
    this.#dispatch('close')
    await this.#goodbye
  }

  #noteDrained(): void {
    if (this.#pending.size === 0) this.#onDrained?.()
  }
}

function isPongOf({ opcode, payload }: Operation, sent: Uint8Array = new Uint8Array()): boolean {
  if (opcode !== OPCODES.OpPong.code) return false
  return Buffer.compare(payload ?? new Uint8Array(), sent) === 0
}

/** An operator's one word for it where there is one: `ECONNREFUSED`, `ERR_TLS_CERT_ALTNAME_INVALID`. */
function reasonOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}

// One client's connection: packets in, answers out in order of completion, nothing without a limit.
//
//   open ──(client ends, malformed packet, silence, server closes)──▶ draining ──(all answered, or drainMs)──▶ closed
//     └────────────────────(broken, replies not read)──────────────────────────────────────────────────────────▲
//
// What can cross, and which wins: an answer after its deadline is dropped (the client was told); an answer after the
// close is dropped; what arrives while draining is read and thrown away, so that closing does not reset the
// connection under the last replies (RFC 1122 §4.2.2.13).
import type { TLSSocket } from 'node:tls'
import type { Logger } from '@latchkey/core'
import {
  type FramedPacket,
  KeylessError,
  type Packet,
  PacketFramer,
  readCallerSpan,
  readPacket,
} from '@latchkey/wire'
import { type Answer, answer, type AnswerOptions, Failure, wipeAnswer } from './answer.ts'
import { type AuditTrail, isKeyUse, UNANSWERED, verdictOf } from './audit-trail.ts'
import type { Client } from './client.ts'
import { KeyRequest } from './key-request.ts'
import type { Limits } from './limits.ts'
import type { ConnectionEnd, KeyServerObserver, PauseCause, RequestOutcome } from './observer.ts'
import { encodeReply, errorPacket, wireByte } from './reply.ts'
import { ReplyWriter } from './reply-writer.ts'
import { logArrival, logFailure } from './request-log.ts'
import type { RequestTracer } from './tracer.ts'
import type { Turns, Worker } from './turns.ts'

/** A slice ends after so many requests (cheap ones: pings) … */
const SLICE_REQUESTS = 32
/** … or after so long (dear ones: an RSA signature takes up to a millisecond, so one or two). */
const SLICE_MS = 0.5
/** Received bytes that may wait for their turn: two of the largest packets, so that one always fits whole. */
const MAX_UNREAD_BYTES = 128 * 1024
/**
 * Received chunks that may: a TLS record each, however little is in it. As many as requests may be in flight, so that a
 * client may put each into a record of its own; a one-byte chunk takes up a hundred times that.
 */
const MAX_UNREAD_CHUNKS = 1024
/** Replies that fill a TLS record do not wait for more. */
const GATHERED_BYTES = 16 * 1024
/** For a client to close after we have; whoever does not is cut off. */
const LINGER_MS = 1000

/** What all connections of a server share. */
export interface ConnectionContext {
  readonly limits: Limits
  readonly turns: Turns
  readonly answers: AnswerOptions
  readonly observer: KeyServerObserver
  readonly tracer: RequestTracer | undefined
  readonly audit: AuditTrail | undefined
  readonly logger: Logger
  readonly anyVersion: boolean
  readonly closed: (connection: Connection) => void
}

type State =
  | { readonly name: 'open' }
  /** `takesBacklog`: whether whole packets that have come already are still answered. */
  | { readonly name: 'draining'; readonly end: ConnectionEnd; readonly takesBacklog: boolean }
  | { readonly name: 'closed' }

export class Connection implements Worker {
  readonly client: Client
  readonly #socket: TLSSocket
  readonly #context: ConnectionContext
  readonly #framer = new PacketFramer()
  readonly #writer: ReplyWriter
  readonly #readTimer: NodeJS.Timeout
  /** Operations that are waited for, each with its deadline. */
  readonly #inFlight = new Map<AbortController, NodeJS.Timeout>()
  #closeTimer: NodeJS.Timeout | undefined
  #closeAt = Number.POSITIVE_INFINITY
  #state: State = { name: 'open' }
  #isPaused = false
  #takenCount = 0
  /** Replies wait for those of the next slice. */
  #isGathering = false
  #isEnding = false
  #error: Error | undefined

  /** Takes over `socket`, whose handshake is done and whose client is welcome. */
  constructor(socket: TLSSocket, client: Client, context: ConnectionContext) {
    this.client = client
    this.#socket = socket
    this.#context = context
    const { limits } = context
    this.#writer = new ReplyWriter(socket, limits.writeTimeoutMs, {
      written: () => this.#wakeIfWaiting(),
      stuck: () => this.#abandon('write_timeout'),
    })
    this.#readTimer = setTimeout(() => this.#onSilence(), limits.readTimeoutMs)
    socket.on('data', (chunk: Uint8Array) => this.#onData(chunk))
    socket.on('end', () => this.drain('end'))
    socket.on('error', (error) => (this.#error = error))
    socket.on('close', () => this.#onClose())
    context.logger.debug(`connection ${client.peer}: serving`)
  }

  /** Requests whose answer is waited for. */
  get inFlight(): number {
    return this.#inFlight.size
  }

  get queuedReplyBytes(): number {
    return this.#writer.queuedBytes
  }

  /** Answers what has been taken and closes, within `drainMs`; a connection that ends already ends by then too. */
  drain(end: ConnectionEnd, drainMs: number = this.#context.limits.drainMs): void {
    if (this.#state.name === 'closed') return
    this.#closeWithin(drainMs)
    if (this.#state.name === 'draining') return
    this.#state = { name: 'draining', end, takesBacklog: end === 'end' || end === 'shutdown' }
    this.#isPaused = false
    this.#socket.resume()
    this.#context.turns.add(this)
  }

  runSlice(): boolean {
    if (this.#state.name === 'closed') return false
    const takenBefore = this.#takenCount
    const hasMore = this.#takeRequests()
    // Several came at once: more of them are on their way, and their replies travel together. One look at the sockets is
    // waited for, which takes microseconds when nothing comes.
    const mayWait = !this.#isGathering && this.#takenCount - takenBefore > 1 && this.#state.name === 'open'
    this.#isGathering = mayWait && this.#writer.gatheredBytes < GATHERED_BYTES
    if (this.#isGathering) {
      this.#regulateReading()
      if (!hasMore) this.#context.turns.addLater(this)
      return hasMore
    }
    this.#context.audit?.commit() // no reply leaves before its record is written
    this.#writer.flush()
    if (!hasMore) this.#endIfDrained()
    this.#regulateReading()
    return hasMore
  }

  /** Takes whole packets until the slice is used up (then true) or nothing more can be taken. */
  #takeRequests(): boolean {
    const end = performance.now() + SLICE_MS
    for (let taken = 0; this.#mayTake(); taken++) {
      if (taken === SLICE_REQUESTS || (taken > 0 && performance.now() >= end)) return true
      const framed = this.#framer.next()
      if (framed === undefined) return false
      this.#readTimer.refresh()
      this.#take(framed)
    }
    return false
  }

  #mayTake(): boolean {
    const takes = this.#state.name === 'open' || (this.#state.name === 'draining' && this.#state.takesBacklog)
    return takes && !this.#isFull()
  }

  /** Too much under way: more is taken when an answer or some written bytes make room. */
  #isFull(): boolean {
    const { maxInFlight, maxQueuedReplyBytes } = this.#context.limits
    return this.#inFlight.size >= maxInFlight || this.#writer.queuedBytes >= maxQueuedReplyBytes
  }

  #pauseCause(): PauseCause {
    if (this.#inFlight.size >= this.#context.limits.maxInFlight) return 'requests'
    return this.#isFull() ? 'reply_bytes' : 'unread_bytes'
  }

  #take(framed: FramedPacket): void {
    this.#takenCount++
    const packet = this.#read(framed)
    if (packet === undefined) return
    const { observer, logger, answers, tracer } = this.#context
    const request = new KeyRequest(packet.id, packet.operation, this.client)
    const takenAt = performance.now()
    observer.requestArrived?.(packet.operation.opcode)
    logArrival(logger, request)
    if (tracer !== undefined) this.#trace(request, tracer)
    const abort = new AbortController()
    const answered = answer(request, abort.signal, answers)
    if (answered instanceof Promise) this.#await(answered, request, abort, takenAt)
    else this.#reply(answered, request, takenAt)
  }

  /** Whatever is wrong with the caller's span, the request itself goes on. */
  #trace(request: KeyRequest, tracer: RequestTracer): void {
    const { span } = request.operation
    const caller = span === undefined || span.length === 0 ? undefined : readCallerSpan(span)
    const isReadable = typeof caller !== 'string'
    if (!isReadable) {
      const { logger } = this.#context
      logger.error(`connection ${this.client.peer}: failed to extract span: ${caller}`, request.fields)
    }
    request.span = tracer.begin(request, isReadable ? caller : undefined)
  }

  /** A packet that cannot be read is answered, since its id is known; then nothing after it can be relied on. */
  #read(framed: FramedPacket): Packet | undefined {
    try {
      return readPacket(framed, { anyMajor: this.#context.anyVersion })
    } catch (error) {
      if (!(error instanceof KeylessError)) throw error
      this.#context.logger.error(`connection ${this.client.peer}: ${error.message}`, { id: framed.header.id })
      this.#writer.add(errorPacket(framed.header.id, error.code))
      // Of another version the frame is still sound: the next packet may be one of ours.
      if (error.code !== 'ERR_KEYLESS_VERSION_MISMATCH') this.drain('malformed')
      return undefined
    }
  }

  /** The answer comes later, or its deadline before it: the first of the two counts. */
  #await(answered: Promise<Answer>, request: KeyRequest, abort: AbortController, takenAt: number): void {
    let isRecorded = false
    const settle = (outcome: Answer): void => {
      clearTimeout(deadline)
      if (!this.#inFlight.delete(abort)) {
        request.span?.end('given up before it was answered')
        if (!isRecorded) this.#recordUnanswered(request)
        return wipeAnswer(outcome)
      }
      isRecorded = true
      this.#reply(outcome, request, takenAt)
      this.#context.turns.add(this)
    }
    const { operationTimeoutMs } = this.#context.limits
    const deadline = setTimeout(() => {
      this.#context.observer.operationTimedOut?.()
      settle(
        new Failure('ERR_KEYLESS_CRYPTOGRAPHY', 'operation', `no answer within ${operationTimeoutMs} ms`),
      )
      abort.abort()
    }, operationTimeoutMs)
    this.#inFlight.set(abort, deadline)
    void answered.then(settle) // never rejects
  }

  #reply(answered: Answer, request: KeyRequest, takenAt: number): void {
    const { observer, logger } = this.#context
    const { packet, isSecret, failure } = encodeReply(request.id, answered)
    if (failure !== undefined) logFailure(logger, request, failure)
    request.span?.end(failure?.reason)
    const outcome: RequestOutcome = {
      opcode: request.operation.opcode,
      error: failure === undefined ? undefined : wireByte(failure.code),
      executionMs: performance.now() - takenAt,
    }
    observer.requestAnswered?.(outcome)
    const onWritten =
      observer.replyWritten === undefined
        ? undefined
        : (now: number): void => observer.replyWritten?.(outcome, now - takenAt)
    const { audit } = this.#context
    const audited =
      audit !== undefined && isKeyUse(request)
        ? { id: request.id, batch: audit.record(request, verdictOf(failure)) }
        : undefined
    this.#writer.add(packet, { isSecret, onWritten, audited })
  }

  /** The client had gone, but the key may have been used. */
  #recordUnanswered(request: KeyRequest): void {
    const { audit } = this.#context
    if (audit === undefined || !isKeyUse(request)) return
    audit.record(request, UNANSWERED)
    audit.commit()
  }

  #onData(chunk: Uint8Array): void {
    if (this.#state.name !== 'open') return
    this.#framer.push(chunk)
    this.#regulateReading()
    this.#context.turns.add(this)
  }

  /** Reads from the client only what can be dealt with soon: the rest waits on its side. */
  #regulateReading(): void {
    if (this.#state.name !== 'open') return
    const shouldPause = this.#isFull() || this.#hasUnread()
    if (shouldPause === this.#isPaused) return
    this.#isPaused = shouldPause
    if (!shouldPause) {
      this.#socket.resume()
      return
    }
    this.#socket.pause()
    this.#context.observer.readingPaused?.(this.#pauseCause())
  }

  /** Enough has come: the next chunks are read when this connection had its turn. */
  #hasUnread(): boolean {
    const { pendingBytes, pendingChunks } = this.#framer
    return pendingBytes > MAX_UNREAD_BYTES || pendingChunks >= MAX_UNREAD_CHUNKS
  }

  #wakeIfWaiting(): void {
    if (this.#isPaused || this.#state.name === 'draining') this.#context.turns.add(this)
  }

  #onSilence(): void {
    if (this.#state.name !== 'open') return
    // While we do not read, silence is ours; the write and operation deadlines end that.
    if (this.#isPaused) this.#readTimer.refresh()
    else this.drain(this.#framer.pendingBytes > 0 ? 'stalled' : 'idle')
  }

  #endIfDrained(): void {
    if (this.#state.name !== 'draining' || this.#isEnding || this.#inFlight.size > 0) return
    if (this.#state.takesBacklog && this.#isFull()) return
    this.#isEnding = true
    this.#socket.end(() => this.#closeWithin(LINGER_MS))
  }

  /** The earliest of all deadlines counts. */
  #closeWithin(ms: number): void {
    const closeAt = performance.now() + ms
    if (this.#state.name === 'closed' || closeAt >= this.#closeAt) return
    this.#closeAt = closeAt
    clearTimeout(this.#closeTimer)
    this.#closeTimer = setTimeout(() => {
      // Once all is answered it is only the client's own end that is waited for.
      if (!this.#isEnding) this.#context.observer.drainCut?.()
      this.#socket.destroy()
    }, ms)
  }

  #abandon(end: ConnectionEnd): void {
    if (this.#state.name === 'closed') return
    this.#state = { name: 'draining', end, takesBacklog: false }
    this.#socket.destroy()
  }

  #onClose(): void {
    const end = this.#endReason()
    this.#state = { name: 'closed' }
    clearTimeout(this.#readTimer)
    clearTimeout(this.#closeTimer)
    this.#writer.stop()
    this.#context.turns.remove(this)
    for (const [abort, deadline] of this.#inFlight) {
      clearTimeout(deadline)
      abort.abort()
    }
    this.#inFlight.clear()
    const { logger, observer, closed } = this.#context
    const { peer } = this.client
    logger.debug(
      `connection ${peer}: closed${end === 'end' ? '' : ` with err ${this.#error?.message ?? end}`}`,
      { end },
    )
    logger.debug(`connection ${peer}: removed`)
    observer.connectionClosed?.(end)
    closed(this)
  }

  #endReason(): ConnectionEnd {
    if (this.#state.name !== 'draining') return 'reset'
    const { end } = this.#state
    return end === 'end' && this.#framer.pendingBytes > 0 ? 'partial' : end
  }
}

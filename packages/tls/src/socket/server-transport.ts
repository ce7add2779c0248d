// Binds one net.Socket to one ServerConnection: deadlines, the signer call, back-pressure, closing. The Duplex is made only
// when the handshake is done, so a client that never finishes costs no stream.
//
// What may cross: the private-key operation and its deadline (whichever comes first wins: the connection takes one answer
// an id); the client's FIN and a pending operation (the call is aborted); its FIN and bytes that wait for their turn (the bytes
// come first); destroy() and anything (twice is harmless).
import type { Socket } from 'node:net'
import { concatenate, release } from '@latchkey/core'
import { TlsError } from '../errors.ts'
import type { Fingerprint } from '../handshake/fingerprint.ts'
import type { Session } from '../handshake/session.ts'
import type { ConnectionHandlers } from '../connection-handlers.ts'
import { ServerConnection } from '../server-connection.ts'
import { giveBack } from '../record/outgoing.ts'
import type { ServerContext } from '../server-context.ts'
import type { PrivateKeyOperation, Signer } from '../signer/signer.ts'
import type { HandshakeQueue } from './handshake-queue.ts'
import type { Deadline, TimerWheel } from './timer-wheel.ts'
import { type SecureTransport, TlsSocket } from './tls-socket.ts'

export interface TransportOptions {
  readonly context: ServerContext
  readonly signer: Signer
  /** From accept to the client's Finished. */
  readonly handshakeTimeoutMs: number
  /** From accept to a whole ClientHello. */
  readonly helloTimeoutMs?: number | undefined
  readonly signerTimeoutMs: number
  /** Whether a FIN without close_notify is an error (ERR_TLS_TRUNCATED) rather than an end. */
  readonly requireCloseNotify: boolean
  readonly allowHalfOpen: boolean
  /** Whether a plain HTTP request is told so. */
  readonly answerPlainHttp: boolean
  /** Whether what is written to the stream may be freed once it is sealed. */
  readonly releaseWritten: boolean
  readonly queue: HandshakeQueue
  readonly timers: TimerWheel
}

export interface TransportEvents {
  secured(socket: TlsSocket): void
  /** The handshake did not come to its end. */
  failed(error: TlsError, socket: Socket, serverName: string): void
  /** The handshake is over, either way. */
  settled(): void
}

/** Up to here one copy is cheaper than a vectored write. */
const MAX_JOINED_BYTES = 4096

/** A hello is one or two packets: who needs longer holds a place for nothing. */
const DEFAULT_HELLO_TIMEOUT_MS = 5000

/** How long session tickets wait for data to travel with. Most answers of a server are there by then. */
const TICKETS_WAIT_MS = 100

/** How long a closing side waits for the other before it lets go. */
const LINGER_MS = 2000

/** How long the last bytes may take to leave, which are at most a socket's high-water mark of 64 kB. */
const FLUSH_MS = 60_000

const PLAIN_HTTP_TEXT = 'This port speaks HTTPS: the address begins with https://\n'
const PLAIN_HTTP_ANSWER =
  'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n' +
  `Content-Length: ${PLAIN_HTTP_TEXT.length}\r\n\r\n${PLAIN_HTTP_TEXT}`

export class ServerTransport implements ConnectionHandlers, SecureTransport {
  readonly socket: Socket
  readonly #options: TransportOptions
  readonly #events: TransportEvents
  // Made when it is first needed: a burst of accepts is one turn of the event loop, so an accept must be cheap.
  #lazyConnection: ServerConnection | undefined
  readonly #startedAt = performance.now()
  #stream: TlsSocket | undefined
  #handshakeDeadline: Deadline | undefined
  #lingerDeadline: Deadline | undefined
  #operation: { readonly abort: AbortController; readonly deadline: Deadline } | undefined
  // Chunks that wait for their turn; the socket is paused meanwhile, so there are few.
  #delayed: Uint8Array[] | undefined
  // Written, and perhaps not yet with the kernel.
  #leaving: Uint8Array[] | undefined
  #afterDrain: ((error?: Error | null) => void) | undefined
  // The FIN that came behind them.
  #isEndDelayed = false
  #isSettled = false
  // The stream has been told that nothing more comes.
  #isInputEnded = false

  /** Takes over an accepted socket. From here on the socket's events hold the transport. */
  static accept(socket: Socket, options: TransportOptions, events: TransportEvents): ServerTransport {
    return new ServerTransport(socket, options, events)
  }

  private constructor(socket: Socket, options: TransportOptions, events: TransportEvents) {
    this.socket = socket
    this.#options = options
    this.#events = events
    const { helloTimeoutMs = DEFAULT_HELLO_TIMEOUT_MS, handshakeTimeoutMs } = options
    this.#setHandshakeDeadline(Math.min(helloTimeoutMs, handshakeTimeoutMs))
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
    socket.on('drain', this.#onDrain)
    if (socket.closed) this.#onClose() // it was gone before its turn came
  }

  get #connection(): ServerConnection {
    this.#lazyConnection ??= new ServerConnection(this.#options.context, this, {
      clientAddress: this.socket.remoteAddress, // asked for at accept: Node keeps it
    })
    return this.#lazyConnection
  }

  // ── the socket ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Thousands that are late at the same time take turns to hang up, as they do to shake hands. */
  #setHandshakeDeadline(ms: number): void {
    const { timers, queue } = this.#options
    this.#handshakeDeadline = timers.set(ms, () => queue.run(this.#onHandshakeTime))
  }

  /** Who has said hello in time gets what is left of the handshake's time. */
  readonly #onHandshakeTime = (): void => {
    if (this.#isSettled) return
    const leftMs = this.#handshakeLeftMs()
    if (this.#connection.hasReceivedHello && leftMs > 0) this.#setHandshakeDeadline(leftMs)
    else this.#connection.fail('ERR_TLS_HANDSHAKE_TIMEOUT')
  }

  #handshakeLeftMs(): number {
    return this.#startedAt + this.#options.handshakeTimeoutMs - performance.now()
  }

  readonly #onData = (chunk: Uint8Array): void => {
    if (this.#isSettled) {
      this.#connection.receive(chunk)
      release(chunk) // what an established connection keeps of it, it has decrypted or copied
    } else if (this.#delayed !== undefined) {
      this.#delayed.push(chunk)
    } else {
      this.#delayed = [chunk]
      this.#options.queue.run(this.#receiveDelayed)
      if (this.#delayed !== undefined) this.socket.pause()
    }
  }

  readonly #receiveDelayed = (): void => {
    const chunks = this.#delayed ?? []
    this.#delayed = undefined
    for (const chunk of chunks) {
      this.#connection.receive(chunk)
      if (this.#stream !== undefined) release(chunk) // it ended with the client's Finished or came after
    }
    const stream = this.#stream
    // Not before somebody reads the stream: until then its own buffer may fill, as that of a net.Socket does.
    if (stream === undefined || stream.readableLength < stream.readableHighWaterMark) this.resume()
    if (this.#isEndDelayed) this.#onEnd()
  }

  readonly #onEnd = (): void => {
    if (this.#delayed !== undefined) this.#isEndDelayed = true
    else if (this.#stream !== undefined && !this.#options.requireCloseNotify) this.ended()
    else this.#connection.transportEnded()
  }

  readonly #onError = (cause: Error): void => {
    if (this.#stream === undefined) this.#connection.fail('ERR_TLS_TRANSPORT', cause.message)
    else this.#stream.destroy(cause)
  }

  readonly #onClose = (): void => {
    this.#connection.fail('ERR_TLS_TRANSPORT', 'the connection was closed')
    this.#cancelDeadlines()
    this.#releaseWriter()
    if (!this.#isOver()) this.#stream?.destroy()
  }

  /** Both sides have ended: a reader may still be busy with what came, and the stream closes when it is done. */
  #isOver(): boolean {
    return this.#isInputEnded && this.#stream?.writableEnded === true
  }

  readonly #onDrain = (): void => {
    this.#giveBackWhatLeft()
    this.#releaseWriter()
  }

  #releaseWriter(): void {
    const done = this.#afterDrain
    this.#afterDrain = undefined
    done?.()
  }

  // ── what the connection says ────────────────────────────────────────────────────────────────────────────────────

  write(chunks: Uint8Array[]): void {
    const { socket } = this
    if (socket.destroyed || socket.writableEnded) return
    const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    if (size <= MAX_JOINED_BYTES) {
      socket.write(concatenate(chunks, size))
      return
    }
    const isVectored = chunks.length > 1
    if (isVectored) socket.cork()
    for (const chunk of chunks) socket.write(chunk)
    if (isVectored) socket.uncork()
    this.#leaving = this.#leaving === undefined ? chunks : this.#leaving.concat(chunks)
    this.#giveBackWhatLeft()
  }

  /** Most often the kernel takes all of a write at once. What leaves later comes back with the next write, or `drain`. */
  #giveBackWhatLeft(): void {
    if (this.#leaving === undefined || this.socket.writableLength > 0) return
    for (const chunk of this.#leaving) giveBack(chunk)
    this.#leaving = undefined
  }

  data(bytes: Uint8Array): void {
    outside(() => {
      if (this.#stream?.push(bytes) === false) this.socket.pause()
    })
  }

  privateKeyOperation(id: number, operation: PrivateKeyOperation): void {
    const { signerTimeoutMs, timers } = this.#options
    const abort = new AbortController()
    const timeoutMs = Math.max(1, Math.min(signerTimeoutMs, this.#handshakeLeftMs()))
    let answer: Uint8Array | Promise<Uint8Array>
    try {
      answer = this.#ask(operation, Math.floor(Date.now() + timeoutMs), abort.signal)
    } catch (cause) {
      this.#connection.privateKeyFailed(id, cause)
      return
    }
    if (answer instanceof Uint8Array) {
      this.#answer(id, answer)
      return
    }
    const deadline = timers.set(timeoutMs, () => {
      this.#connection.privateKeyFailed(id, undefined, 'ERR_TLS_SIGNER_TIMEOUT')
      abort.abort()
    })
    this.#operation = { abort, deadline }
    // Of what is no promise (a signer in JavaScript can return anything) it makes one.
    Promise.resolve(answer).then(
      (given) => this.#answerCame(() => this.#answer(id, given)),
      (cause: unknown) => this.#answerCame(() => this.#connection.privateKeyFailed(id, cause)),
    )
  }

  #ask(
    operation: PrivateKeyOperation,
    deadlineMs: number,
    signal: AbortSignal,
  ): Uint8Array | Promise<Uint8Array> {
    const { signer } = this.#options
    if (operation.kind === 'sign') return signer.sign({ ...operation.request, deadlineMs }, signal)
    if (signer.decryptPremaster === undefined) throw new TypeError('the signer cannot decrypt')
    return signer.decryptPremaster({ ...operation.request, deadlineMs }, signal)
  }

  #answer(id: number, answer: unknown): void {
    if (answer instanceof Uint8Array) this.#connection.privateKeyAnswered(id, answer)
    else this.#connection.privateKeyFailed(id, new TypeError('a signer answers with a Uint8Array'))
  }

  #answerCame(go: () => void): void {
    this.#options.timers.cancel(this.#operation?.deadline)
    this.#operation = undefined
    if (!this.#connection.isClosed) this.#options.queue.run(go)
  }

  cancelPrivateKeyOperation(): void {
    const operation = this.#operation
    this.#operation = undefined
    this.#options.timers.cancel(operation?.deadline)
    operation?.abort.abort()
  }

  established(session: Session): void {
    this.#settle()
    const stream = new TlsSocket(this, session, this.#options)
    // As in node:tls: a client that resets its connection is no reason to end a process that did not listen for it.
    stream.on('error', () => {})
    this.#stream = stream
    outside(() => this.#events.secured(stream))
    if (!this.#connection.owesTickets) return
    const { timers, queue } = this.#options
    timers.set(TICKETS_WAIT_MS, () => queue.run(() => this.#connection.sendTickets()))
  }

  ended(): void {
    this.#isInputEnded = true
    outside(() => {
      this.#stream?.push(null)
      this.#stream?.read(0) // an empty stream ends also when nobody reads it, as net.Socket does
    })
  }

  closed(error: TlsError | undefined): void {
    const stream = this.#stream
    if (stream === undefined) {
      this.#settle()
      if (error !== undefined)
        outside(() => this.#events.failed(error, this.socket, this.#connection.serverName))
      if (error?.code === 'ERR_TLS_HTTP_REQUEST' && this.#options.answerPlainHttp) this.#answerPlainHttp()
      this.#hangUp()
    } else if (error !== undefined && !this.#isOver()) {
      stream.destroy(error)
    }
  }

  #answerPlainHttp(): void {
    const { socket } = this
    // A listener of the failure may have answered in its own way.
    if (!socket.destroyed && !socket.writableEnded && socket.bytesWritten === 0)
      socket.write(PLAIN_HTTP_ANSWER)
  }

  // ── what the stream asks ────────────────────────────────────────────────────────────────────────────────────────

  send(chunks: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    this.#connection.send(chunks)
    if (this.#options.releaseWritten) chunks.forEach(release)
    if (this.socket.writableNeedDrain && !this.socket.destroyed) this.#afterDrain = done
    else done()
  }

  get fingerprint(): Fingerprint | undefined {
    return this.#connection.fingerprint
  }

  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    return this.#connection.exportKeyingMaterial(label, context, length)
  }

  end(done: (error?: Error | null) => void): void {
    this.#connection.close()
    this.#hangUp(done)
  }

  resume(): void {
    if (this.socket.isPaused()) this.socket.resume()
  }

  destroy(): void {
    // No close_notify: what breaks off must not look complete (RFC 8446 §6.1).
    this.#connection.fail('ERR_TLS_TRANSPORT', 'the stream was destroyed')
    this.#cancelDeadlines()
    this.socket.destroy()
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #settle(): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#options.timers.cancel(this.#handshakeDeadline)
    this.#events.settled()
  }

  /**
   * Half-closes behind what was written and waits a little for the peer: a reset could overtake our last bytes. `done`
   * comes when they have gone, or cannot any more.
   */
  #hangUp(done: (error?: Error | null) => void = () => {}): void {
    const { socket } = this
    if (socket.destroyed) {
      done()
      return
    }
    const isEstablished = this.#stream !== undefined
    this.#letGoIn(isEstablished ? FLUSH_MS : LINGER_MS)
    socket.end((error?: Error | null) => {
      if (isEstablished) this.#letGoIn(this.#options.allowHalfOpen ? undefined : LINGER_MS)
      done(error)
    })
  }

  #letGoIn(timeoutMs: number | undefined): void {
    const { timers } = this.#options
    timers.cancel(this.#lingerDeadline)
    if (timeoutMs === undefined || this.socket.destroyed) return
    this.#lingerDeadline = timers.set(timeoutMs, () => (this.#stream ?? this.socket).destroy())
  }

  #cancelDeadlines(): void {
    this.#options.timers.cancel(this.#handshakeDeadline)
    this.#options.timers.cancel(this.#lingerDeadline)
    this.cancelPrivateKeyOperation()
  }
}

/** What a listener throws is no failure of the connection that calls it: it goes where such exceptions always go. */
function outside(callListeners: () => void): void {
  try {
    callListeners()
  } catch (error) {
    process.nextTick(() => {
      throw error
    })
  }
}

// Binds one net.Socket to one ServerConnection: timers, the signer call, back-pressure, closing. The Duplex is made only
// when the handshake is done, so a client that never finishes costs no stream.
//
// What may cross: the signature and its deadline (whichever comes first wins: the connection takes one answer an id);
// the client's FIN and a pending signature (the call is aborted); destroy() and anything (twice is harmless).
import type { Socket } from 'node:net'
import { concatenate } from '@latchkey/core'
import { TlsError } from '../errors.ts'
import type { Session } from '../handshake/server-handshake.ts'
import { type ConnectionHandlers, ServerConnection } from '../server-connection.ts'
import type { ServerContext } from '../server-context.ts'
import type { Signer, SignRequest } from '../signer/signer.ts'
import type { HandshakeQueue } from './handshake-queue.ts'
import { release } from './release.ts'
import { type SecureTransport, TlsSocket } from './tls-socket.ts'

export interface TransportOptions {
  readonly context: ServerContext
  readonly signer: Signer
  /** From accept to the client's Finished. */
  readonly handshakeTimeoutMs: number
  readonly signerTimeoutMs: number
  /** Whether a FIN without close_notify is an error (ERR_TLS_TRUNCATED) rather than an end. */
  readonly requireCloseNotify: boolean
  readonly allowHalfOpen: boolean
  /** Whether what is written to the stream may be freed once it is sealed. */
  readonly releaseWritten: boolean
  readonly queue: HandshakeQueue
}

export interface TransportEvents {
  secured(socket: TlsSocket): void
  /** The handshake did not come to its end. */
  failed(error: TlsError, socket: Socket): void
  /** The handshake is over, either way. */
  settled(): void
}

/** Up to here one copy is cheaper than a vectored write. */
const MAX_JOINED_BYTES = 4096

/** How long a closing side waits for the other before it lets go. */
const LINGER_MS = 2000

export class ServerTransport implements ConnectionHandlers, SecureTransport {
  readonly socket: Socket
  readonly #options: TransportOptions
  readonly #events: TransportEvents
  readonly #connection: ServerConnection
  readonly #startedAt = Date.now()
  #stream: TlsSocket | undefined
  #handshakeTimer: NodeJS.Timeout | undefined
  #lingerTimer: NodeJS.Timeout | undefined
  #signing: { readonly abort: AbortController; timer: NodeJS.Timeout | undefined } | undefined
  // Chunks that wait for their turn; the socket is paused meanwhile, so there are few.
  #delayed: Uint8Array[] | undefined
  #afterDrain: ((error?: Error | null) => void) | undefined
  #isSettled = false

  /** Takes over an accepted socket. From here on the socket's events hold the transport. */
  static accept(socket: Socket, options: TransportOptions, events: TransportEvents): ServerTransport {
    return new ServerTransport(socket, options, events)
  }

  private constructor(socket: Socket, options: TransportOptions, events: TransportEvents) {
    this.socket = socket
    this.#options = options
    this.#events = events
    this.#connection = new ServerConnection(options.context, this, { clientAddress: socket.remoteAddress })
    this.#handshakeTimer = setTimeout(
      () => this.#connection.fail('ERR_TLS_HANDSHAKE_TIMEOUT'),
      options.handshakeTimeoutMs,
    )
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
    socket.on('drain', this.#onDrain)
  }

  // ── the socket ──────────────────────────────────────────────────────────────────────────────────────────────────

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
    for (const chunk of chunks) this.#connection.receive(chunk)
    if (this.#stream === undefined && this.socket.isPaused()) this.socket.resume()
  }

  readonly #onEnd = (): void => {
    if (this.#stream !== undefined && !this.#options.requireCloseNotify) this.#stream.push(null)
    else this.#connection.transportEnded()
  }

  readonly #onError = (cause: Error): void => {
    if (this.#stream === undefined) this.#connection.fail('ERR_TLS_TRANSPORT', cause.message)
    else this.#stream.destroy(cause)
  }

  readonly #onClose = (): void => {
    this.#connection.fail('ERR_TLS_TRANSPORT', 'the connection was closed')
    this.#clearTimers()
    this.#releaseWriter()
    this.#stream?.destroy()
  }

  readonly #onDrain = (): void => this.#releaseWriter()

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
    socket.cork()
    const last = chunks.length - 1
    for (let index = 0; index < last; index++) socket.write(chunks[index] as Uint8Array)
    // Written in order: when the last has gone, all have.
    socket.write(chunks[last] as Uint8Array, () => chunks.forEach(release))
    socket.uncork()
  }

  data(bytes: Uint8Array): void {
    if (this.#stream?.push(bytes) === false) this.socket.pause()
  }

  sign(id: number, request: SignRequest): void {
    const { signer, signerTimeoutMs, handshakeTimeoutMs } = this.#options
    const abort = new AbortController()
    const timeoutMs = Math.max(
      1,
      Math.min(signerTimeoutMs, this.#startedAt + handshakeTimeoutMs - Date.now()),
    )
    let answer: Uint8Array | Promise<Uint8Array>
    try {
      answer = signer.sign({ ...request, deadlineMs: Date.now() + timeoutMs }, abort.signal)
    } catch (cause) {
      this.#connection.signFailed(id, cause)
      return
    }
    if (answer instanceof Uint8Array) {
      this.#connection.signed(id, answer)
      return
    }
    const timer = setTimeout(() => {
      this.#connection.signFailed(id, undefined, 'ERR_TLS_SIGNER_TIMEOUT')
      abort.abort()
    }, timeoutMs)
    this.#signing = { abort, timer }
    answer.then(
      (signature) => this.#signatureCame(() => this.#connection.signed(id, signature)),
      (cause: unknown) => this.#signatureCame(() => this.#connection.signFailed(id, cause)),
    )
  }

  #signatureCame(go: () => void): void {
    clearTimeout(this.#signing?.timer)
    this.#signing = undefined
    if (!this.#connection.isClosed) this.#options.queue.run(go)
  }

  cancelSign(): void {
    const signing = this.#signing
    this.#signing = undefined
    clearTimeout(signing?.timer)
    signing?.abort.abort()
  }

  established(session: Session): void {
    this.#settle()
    this.#stream = new TlsSocket(this, session, this.#options)
    this.#events.secured(this.#stream)
  }

  ended(): void {
    this.#stream?.push(null)
  }

  closed(error: TlsError | undefined): void {
    const stream = this.#stream
    if (stream === undefined) {
      this.#settle()
      if (error !== undefined) this.#events.failed(error, this.socket)
      this.#hangUp()
    } else if (error !== undefined && !stream.destroyed) {
      stream.destroy(error)
    }
  }

  // ── what the stream asks ────────────────────────────────────────────────────────────────────────────────────────

  send(chunks: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    this.#connection.send(chunks)
    if (this.#options.releaseWritten) chunks.forEach(release)
    if (this.socket.writableNeedDrain && !this.socket.destroyed) this.#afterDrain = done
    else done()
  }

  end(): void {
    this.#connection.close()
    this.#hangUp()
  }

  resume(): void {
    if (this.socket.isPaused()) this.socket.resume()
  }

  destroy(): void {
    this.#connection.close()
    this.#clearTimers()
    this.socket.destroy()
  }

  // ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #settle(): void {
    if (this.#isSettled) return
    this.#isSettled = true
    clearTimeout(this.#handshakeTimer)
    this.#events.settled()
  }

  /** Half-closes behind what was written and waits a little for the peer: a reset could overtake our last bytes. */
  #hangUp(): void {
    const { socket } = this
    if (socket.destroyed) return
    socket.end()
    if (this.#stream === undefined) socket.resume() // what still comes is dropped by the closed connection
    this.#lingerTimer ??= setTimeout(() => socket.destroy(), LINGER_MS).unref()
  }

  #clearTimers(): void {
    clearTimeout(this.#handshakeTimer)
    clearTimeout(this.#lingerTimer)
    this.cancelSign()
  }
}

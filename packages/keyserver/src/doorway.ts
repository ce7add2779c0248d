// From an accepted socket to a finished TLS handshake: how many may be on their way, whose turn it is, and who has been at
// it for too long. Strangers come this far, so what each can make this process hold is bounded.
//
//   accepted ──(a byte came)──▶ in line ──(its turn)──▶ in its handshake ──▶ through
//      └────────(silent for too long, gone, or the oldest of too many)──▶ closed
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Socket } from 'node:net'
import type { Server as TlsServer, TLSSocket } from 'node:tls'
import { hostAndPort, type Logger } from '@latchkey/core'
import type { Limits } from './limits.ts'
import type { HandshakeFailure, KeyServerObserver } from './observer.ts'

/** How long after a handshake the next one waits, in times of what that one took. */
const REST_PER_HANDSHAKE = 4

export interface DoorwayOptions {
  /** Does the handshakes; it never listens itself, so that a visitor is counted before TLS begins. */
  readonly tls: TlsServer
  readonly limits: Limits
  readonly logger: Logger
  readonly observer: KeyServerObserver
  /** Connections that are through. */
  readonly connectionCount: () => number
  /** The handshake is done; whether the client is welcome is decided there. */
  readonly through: (socket: TLSSocket, peer: string) => void
}

interface Visitor {
  readonly socket: Socket
  readonly peer: string
}

export class Doorway {
  readonly #options: DoorwayOptions
  /** All who are not through, in the order in which they came. */
  readonly #visitors = new Set<Visitor>()
  /** Those of them who have sent something and whose handshake has not begun. */
  readonly #line = new Set<Visitor>()
  /** Somebody is let in by then, if anybody waits. */
  #isLettingIn = false
  #nextAt = 0
  /** Whose handshake an event of TLS belongs to: a TLSSocket does not tell which socket it was made of. */
  readonly #current = new AsyncLocalStorage<Visitor>()
  #unixCount = 0
  #isClosing = false
  #hasRefused = false

  constructor(options: DoorwayOptions) {
    this.#options = options
    const { tls, limits, through } = options
    tls.on('secureConnection', (socket) => {
      const visitor = this.#current.getStore()
      if (visitor === undefined || !this.#visitors.delete(visitor)) return void socket.destroy()
      if (this.#visitors.size < limits.maxHandshakes / 2) this.#hasRefused = false
      through(socket, visitor.peer)
    })
    tls.on('tlsClientError', (error, socket) => this.#onError(error, socket))
  }

  get size(): number {
    return this.#visitors.size
  }

  /** Lets nobody in any more. */
  close(): void {
    this.#isClosing = true
    for (const { socket } of this.#visitors) socket.destroy()
  }

  /** A TCP or Unix connection: handed to TLS in its turn. */
  accept(socket: Socket, kind: 'tcp' | 'unix'): void {
    if (kind === 'tcp' && socket.remoteAddress === undefined) {
      socket.destroy() // gone before it was looked at
      return
    }
    const { maxConnections, maxHandshakes, handshakeTimeoutMs } = this.#options.limits
    const peer =
      kind === 'unix' ? `unix:${++this.#unixCount}` : hostAndPort(socket.remoteAddress, socket.remotePort)
    const isFull = (): boolean => this.#visitors.size + this.#options.connectionCount() >= maxConnections
    if (this.#visitors.size >= maxHandshakes || isFull()) this.#giveUpOldest()
    if (isFull() || this.#isClosing) {
      if (!this.#isClosing) this.#noteRefusal('connections', peer)
      socket.destroy()
      return
    }
    const visitor = { socket, peer }
    this.#visitors.add(visitor)
    socket.once('close', () => this.#onClose(visitor))
    socket.on('error', () => {}) // it closes then, and that is looked at
    socket.setTimeout(handshakeTimeoutMs, () => this.#onSilence(visitor))
    // Without a byte no TLS: whoever is silent costs a socket and nothing else.
    const enter = (): void => {
      if (socket.readableLength === 0) return // its end
      socket.off('readable', enter)
      this.#line.add(visitor)
      this.#letIn()
    }
    socket.on('readable', enter)
  }

  /**
   * A handshake takes half a millisecond of this thread and more. They begin one by one, with a rest after each, so that a
   * crowd of them gets a fifth of the time and no more: the requests of those who are in come first.
   */
  #letIn(): void {
    if (this.#isLettingIn || this.#line.size === 0) return
    this.#isLettingIn = true
    const waitMs = this.#nextAt - performance.now()
    if (waitMs < 1) setImmediate(() => this.#beginNext())
    else setTimeout(() => this.#beginNext(), waitMs)
  }

  #beginNext(): void {
    const startedAt = performance.now()
    const visitor = this.#nextInLine()
    if (visitor !== undefined) {
      visitor.socket.setTimeout(0) // from here on TLS has a timer of its own
      this.#current.run(visitor, () => this.#options.tls.emit('connection', visitor.socket))
    }
    // TLS takes up what the socket has read already on the next tick: the work is done there, and this comes after it.
    process.nextTick(() => {
      const endedAt = performance.now()
      this.#nextAt = endedAt + REST_PER_HANDSHAKE * (endedAt - startedAt)
      this.#isLettingIn = false
      this.#letIn()
    })
  }

  #nextInLine(): Visitor | undefined {
    for (const visitor of this.#line) {
      this.#line.delete(visitor)
      if (!visitor.socket.destroyed) return visitor
    }
    return undefined // all have failed; that is told when they close
  }

  /**
   * A client is done within some tens of milliseconds: whoever has been at it longest is most likely a stranger who will
   * not be, and must not keep the others out until its time is up.
   */
  #giveUpOldest(): void {
    for (const visitor of this.#visitors) {
      this.#visitors.delete(visitor)
      this.#line.delete(visitor)
      this.#noteRefusal('handshakes', visitor.peer)
      visitor.socket.destroy()
      return
    }
  }

  /** One line for all that are refused until there is room again. */
  #noteRefusal(limit: 'connections' | 'handshakes', peer: string): void {
    this.#options.observer.connectionRefused?.(limit)
    if (!this.#hasRefused) this.#options.logger.warning(`connection ${peer}: refused, too many ${limit}`)
    this.#hasRefused = true
  }

  #onError(error: NodeJS.ErrnoException & { reason?: string }, socket: TLSSocket): void {
    const visitor = this.#current.getStore()
    // A client that went away is reported when its connection closes.
    if (visitor === undefined || visitor.socket.destroyed || !this.#visitors.delete(visitor)) return
    const reason = error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT' ? 'timeout' : 'tls'
    this.noteFailure(visitor.peer, reason, error.reason ?? error.message)
    socket.destroy()
  }

  #onSilence(visitor: Visitor): void {
    this.#line.delete(visitor)
    if (this.#visitors.delete(visitor))
      this.#options.logger.debug(`connection ${visitor.peer}: closed before TLS handshake: nothing came`)
    visitor.socket.destroy()
  }

  /** A health check connects and closes: nothing to worry about. A client that gives up halfway does not trust us. */
  #onClose(visitor: Visitor): void {
    this.#line.delete(visitor)
    if (!this.#visitors.delete(visitor) || this.#isClosing) return
    const { peer, socket } = visitor
    if (socket.bytesRead === 0)
      this.#options.logger.debug(`connection ${peer}: closed by client before TLS handshake`)
    else this.noteFailure(peer, 'closed', 'closed by client in the middle of it')
  }

  noteFailure(peer: string, failure: HandshakeFailure, reason: string): void {
    this.#options.observer.handshakeFailed?.(failure)
    this.#options.logger.error(`connection ${peer}: TLS handshake failed: ${reason}`)
  }
}

// One connection to a key server: packets out in few writes, packets in as they are cut from the stream.
import type { TLSSocket } from 'node:tls'
import { type FramedPacket, PacketFramer, SCOPED_SIGNING_PROTOCOL } from '@latchkey/wire'

/** How long a closing connection may take for the other side's goodbye. */
const GOODBYE_MS = 500

const CLOSED = 'the key server closed the connection'
/** In TLS 1.3 the handshake is over for a client before the server has looked at its certificate (RFC 8446 §4.4.4). */
const CLOSED_AT_ONCE = `${CLOSED} before it had answered anything; it may not accept the client certificate, and its log says why`

export interface ConnectionHandlers {
  readonly onPacket: (framed: FramedPacket) => void
  /** It takes packets again after {@link Connection.isBlocked}. */
  readonly onDrain: () => void
  /** Called once, whoever ended it, but not after {@link Connection.close}. */
  readonly onLost: (error: Error) => void
}

/** Owns `socket` from now on. */
export class Connection {
  readonly #socket: TLSSocket
  readonly #handlers: ConnectionHandlers
  readonly #framer: PacketFramer
  #isBlocked = false
  #isOver = false
  #hasReceived = false

  /** @param framer for tests, which look at what it holds. */
  constructor(socket: TLSSocket, handlers: ConnectionHandlers, framer: PacketFramer = new PacketFramer()) {
    this.#socket = socket
    this.#handlers = handlers
    this.#framer = framer
    socket.on('data', (chunk: Uint8Array) => this.#read(chunk))
    socket.on('drain', () => {
      this.#isBlocked = false
      if (!this.#isOver) handlers.onDrain()
    })
    // Nothing more can be answered once the peer has ended its half.
    socket.on('end', () => this.fail(new Error(this.#hasReceived ? CLOSED : CLOSED_AT_ONCE)))
    socket.on('error', (error) => this.fail(error))
    socket.on('close', () => this.fail(new Error('the connection was closed')))
  }

  /** The socket holds as much as it should: packets wait where they can still be given up. */
  get isBlocked(): boolean {
    return this.#isBlocked
  }

  /** Both sides know scoped signing. */
  get knowsScopes(): boolean {
    return this.#socket.alpnProtocol === SCOPED_SIGNING_PROTOCOL
  }

  /** For people: `TLSv1.3`. */
  get tlsVersion(): string {
    return this.#socket.getProtocol() ?? 'unknown'
  }

  /** Sends `packets` as one write: one TLS record and one system call for all that a turn has gathered. */
  write(packets: readonly Uint8Array[]): void {
    if (this.#isOver) return
    this.#isBlocked = !this.#socket.write(Buffer.concat(packets))
  }

  /** It is of no use any more: ends it at once and says so. */
  fail(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#socket.destroy()
    this.#handlers.onLost(error)
  }

  /** Says goodbye and waits for the end, for a bounded time. */
  async close(): Promise<void> {
    this.#isOver = true
    if (this.#socket.closed) return
    const closed = Promise.withResolvers<void>()
    this.#socket.once('close', () => closed.resolve())
    const timeout = AbortSignal.timeout(GOODBYE_MS)
    const destroy = (): unknown => this.#socket.destroy()
    timeout.addEventListener('abort', destroy)
    this.#socket.end()
    await closed.promise
    timeout.removeEventListener('abort', destroy)
  }

  /** Takes all packets at once, so that no chunk waits: what waits is one unfinished packet. */
  #read(chunk: Uint8Array): void {
    // Nobody takes packets any more, but a key server may go on sending until it has seen our goodbye.
    if (this.#isOver) return
    this.#hasReceived = true
    this.#framer.push(chunk)
    // A handler may end the connection: what came behind that packet is not looked at.
    while (!this.#isOver) {
      const framed = this.#framer.next()
      if (framed === undefined) return
      this.#handlers.onPacket(framed)
    }
  }
}

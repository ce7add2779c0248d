// The key server's shell: listens, lets clients in or not, keeps the list of connections, reloads and closes.
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { availableParallelism } from 'node:os'
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from 'node:tls'
import type { Logger } from '@latchkey/core'
import type { KeyStore, MaybePromise } from '@latchkey/keys'
import { SCOPED_SIGNING_PROTOCOL } from '@latchkey/wire'
import type { KeyOperation, Sealing } from './answer.ts'
import type { AuditTrail } from './audit-trail.ts'
import { BackgroundLane } from './background-lane.ts'
import { describeClient, hostAndPort } from './client.ts'
import { type ClientCas, presentedChain, readClientCas, refusalOf } from './client-certificate.ts'
import { Connection, type ConnectionContext } from './connection.ts'
import { KeyServerError } from './errors.ts'
import type { KeyRequest } from './key-request.ts'
import { type Limits, withDefaults } from './limits.ts'
import type { HandshakeFailure, KeyServerObserver } from './observer.ts'
import { logLookup } from './request-log.ts'
import { type ServerIdentity, tlsSettings, type Validity, validityOf } from './tls-settings.ts'
import type { RequestTracer } from './tracer.ts'
import { Turns } from './turns.ts'

/** What a key server shows to clients and expects of them. */
export interface KeyServerCertificates extends ServerIdentity {
  /** PEM bundle: the CAs of client certificates, at least one self-signed. */
  readonly ca: string | Uint8Array
}

export interface KeyServerOptions extends KeyServerCertificates {
  /** Where the keys are. Not closed by the server. */
  readonly keyStore: Pick<KeyStore, 'find'>
  readonly logger: Logger
  readonly limits?: Partial<Limits>
  /** Whether TLS 1.3 is offered besides 1.2. Default: true. */
  readonly tls13?: boolean
  /**
   * Whether this server does this kind of operation for anyone; refused as a cryptography failure (1). Default: all of
   * them, raw RSA decryption, MD5 and SHA-1 included, as clients in the field may still ask for them.
   */
  readonly allow?: (operation: KeyOperation) => boolean
  /** Whether this client may use this key so; refused as if there were no such key (2). Default: every client may. */
  readonly authorize?: (request: KeyRequest, operation: KeyOperation) => MaybePromise<boolean>
  readonly observer?: KeyServerObserver
  /** Records the work on requests as spans. Default: nobody does, and it costs nothing. */
  readonly tracer?: RequestTracer | undefined
  /** Told about each use of a key before it is answered; what it cannot record is refused. Default: nobody is. */
  readonly audit?: AuditTrail | undefined
  /** For the operations seal and unseal; without it they are answered with error 8, as gokeyless does. */
  readonly sealing?: Sealing
  /** How often a signature that failed is tried again, at once and within its time limit. Default: 0. */
  readonly signRetries?: number
  /** What a request without an SKI is answered: 8 as gokeyless does (default), or 2, which says more. */
  readonly missingSki?: 'internal' | 'key-not-found'
  /** Serves packets of any major version, as gokeyless does. Default: false, they are answered with error 4. */
  readonly anyVersion?: boolean
  /** For the validity of certificates. Default: the wall clock. */
  readonly now?: () => Date
}

/** What a key server is and holds at one moment. */
export interface KeyServerStatus {
  readonly isListening: boolean
  /** Asked to close: it finishes what it has. */
  readonly isClosing: boolean
  readonly isCertificateValid: boolean
  /** Connections whose client was let in. */
  readonly connections: number
  readonly handshakes: number
  /** Operations that are waited for. */
  readonly requestsExecuting: number
  /** Replies that clients have not read yet. */
  readonly queuedReplyBytes: number
}

/** A key server; it listens at one address. */
export interface KeyServer extends AsyncDisposable {
  /**
   * Starts to listen.
   *
   * @param where `host` defaults to 127.0.0.1; `::` is every address. Port 0 takes a free one.
   * @throws {KeyServerError} ERR_KEYSERVER_LISTEN as a rejection, for instance if the port is taken.
   */
  listen(where: { readonly host?: string; readonly port: number }): Promise<AddressInfo>
  /** Where it listens; undefined if it does not. */
  address(): AddressInfo | undefined
  /** Connections whose client was let in. */
  readonly connectionCount: number
  /** Looks at every connection: for whoever asks now and then. */
  status(): KeyServerStatus
  /**
   * New connections get the new certificates, all of them or, if they are no good, none; open connections go on.
   *
   * @throws {KeyServerError} ERR_KEYSERVER_CERTIFICATE, ERR_KEYSERVER_CA; nothing has changed then.
   */
  reload(certificates: KeyServerCertificates): void
  /** Stops to listen, answers what has come, and closes, all within `drainMs` (default: of the limits). */
  close(options?: { readonly drainMs?: number }): Promise<void>
}

/**
 * Makes a key server; it does nothing until it listens.
 *
 * @throws {KeyServerError} ERR_KEYSERVER_CERTIFICATE, ERR_KEYSERVER_CA.
 * @throws {RangeError} on a limit that makes no sense.
 * @example
 * await using server = createKeyServer({ keyStore, cert, key, ca, logger })
 * await server.listen({ port: 2407 })
 */
export function createKeyServer(options: KeyServerOptions): KeyServer {
  return new TlsKeyServer(options)
}

/** An operator has to be told this long before the certificate ends. */
const EXPIRY_NOTICE_MS = 30 * 24 * 3_600_000

/** How long after a handshake the next one waits, in times of what that one took. */
const REST_PER_HANDSHAKE = 2
/** Operations handed to the thread pool beyond one a core: so that a thread that is done finds the next one there. */
const AHEAD = 2

class TlsKeyServer implements KeyServer {
  readonly #options: KeyServerOptions
  readonly #limits: Limits
  readonly #context: ConnectionContext
  /** Accepts; the TLS server below never listens itself, so that a connection is counted before TLS begins. */
  readonly #tcp: Server
  readonly #tls: TlsServer
  /** Connections in their TLS handshake, by peer. */
  readonly #handshakes = new Map<string, Socket>()
  /** Those of them that wait for their turn to begin. */
  readonly #entering: Socket[] = []
  readonly #connections = new Set<Connection>()
  #cas: ClientCas
  #validity: Validity
  #isFull = false
  #closing: Promise<void> | undefined
  #allClosed: (() => void) | undefined

  constructor(options: KeyServerOptions) {
    const { logger, keyStore, observer = {} } = options
    this.#options = options
    this.#limits = withDefaults(options.limits)
    this.#cas = readClientCas(options.ca)
    this.#context = {
      limits: this.#limits,
      turns: new Turns(),
      observer,
      tracer: options.tracer,
      audit: options.audit,
      logger,
      anyVersion: options.anyVersion ?? false,
      closed: (connection) => this.#forget(connection),
      answers: {
        keyStore,
        observer,
        allow: options.allow ?? (() => true),
        authorize: options.authorize,
        missingSki: options.missingSki ?? 'internal',
        sealing: options.sealing,
        signRetries: options.signRetries ?? 0,
        backgroundLane: new BackgroundLane(availableParallelism() + AHEAD),
        lookedUp: (request, isFound) => logLookup(logger, request, isFound),
      },
    }
    this.#tls = createTlsServer({
      ...tlsSettings(options, this.#cas, options.tls13 ?? true),
      requestCert: true,
      // RFC 7301 §3.2: a client that names protocols and not this one is refused; those of plain Keyless name none.
      ALPNProtocols: [SCOPED_SIGNING_PROTOCOL],
      rejectUnauthorized: false, // decided in #admit: OpenSSL alone knows only half of the rule
      handshakeTimeout: this.#limits.handshakeTimeoutMs,
    })
    this.#tls.on('secureConnection', (socket) => this.#admit(socket))
    this.#tls.on('tlsClientError', (error, socket) => this.#onHandshakeError(error, socket))
    this.#tcp = createTcpServer({ noDelay: true }, (socket) => this.#accept(socket))
    this.#validity = validityOf(options)
    this.#warnOfExpiry()
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  status(): KeyServerStatus {
    const connections = [...this.#connections]
    const now = this.#now()
    return {
      isListening: this.#tcp.listening,
      isClosing: this.#closing !== undefined,
      isCertificateValid: now >= this.#validity.from && now < this.#validity.to,
      connections: connections.length,
      handshakes: this.#handshakes.size,
      requestsExecuting: connections.reduce((sum, { inFlight }) => sum + inFlight, 0),
      queuedReplyBytes: connections.reduce((sum, { queuedReplyBytes }) => sum + queuedReplyBytes, 0),
    }
  }

  async listen({
    host = '127.0.0.1',
    port,
  }: {
    readonly host?: string
    readonly port: number
  }): Promise<AddressInfo> {
    if (this.#closing !== undefined) throw new TypeError('this key server was closed')
    await new Promise<void>((resolve, reject) => {
      const refuse = (cause: NodeJS.ErrnoException): void => {
        const detail = `${hostAndPort(host, port)}: ${cause.code ?? cause.message}`
        reject(new KeyServerError('ERR_KEYSERVER_LISTEN', { detail, cause }))
      }
      this.#tcp.once('error', refuse)
      this.#tcp.listen({ host, port }, () => {
        this.#tcp.off('error', refuse)
        resolve()
      })
    })
    // From now on: an accept that failed, for instance for want of file descriptors. The next one may work.
    this.#tcp.on('error', (error) => this.#options.logger.error(`accept failed: ${error.message}`))
    const address = this.#tcp.address() as AddressInfo // of a TCP server that listens
    this.#options.logger.info(`Listening at tcp://${hostAndPort(address.address, address.port)}`)
    return address
  }

  address(): AddressInfo | undefined {
    return (this.#tcp.address() as AddressInfo | null) ?? undefined
  }

  reload(certificates: KeyServerCertificates): void {
    const cas = readClientCas(certificates.ca)
    this.#tls.setSecureContext(tlsSettings(certificates, cas, this.#options.tls13 ?? true))
    this.#cas = cas
    this.#validity = validityOf(certificates)
    this.#warnOfExpiry()
  }

  close({ drainMs = this.#limits.drainMs }: { readonly drainMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(drainMs)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(drainMs: number): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      this.#tcp.close(() => resolve()) // also called, with an error, if it never listened
    })
    for (const socket of this.#handshakes.values()) socket.destroy()
    const drained = new Promise<void>((resolve) => {
      this.#allClosed = resolve
    })
    if (this.#connections.size === 0) this.#allClosed?.()
    for (const connection of this.#connections) connection.drain('shutdown', drainMs)
    await drained
    await stopped
  }

  /** A TCP connection: handed to TLS unless there are too many. */
  #accept(socket: Socket): void {
    if (socket.remoteAddress === undefined) {
      socket.destroy() // gone before it was looked at
      return
    }
    const peer = hostAndPort(socket.remoteAddress, socket.remotePort)
    const { maxConnections, maxHandshakes } = this.#limits
    const isFull = (): boolean => this.#handshakes.size + this.#connections.size >= maxConnections
    if (this.#handshakes.size >= maxHandshakes || isFull()) this.#giveUpOldestHandshake()
    if (isFull() || this.#closing !== undefined) {
      if (this.#closing === undefined) this.#noteRefusal('connections', peer)
      socket.destroy()
      return
    }
    this.#handshakes.set(peer, socket)
    socket.once('close', () => this.#onRawClose(peer, socket))
    socket.on('error', () => {}) // it closes then, and that is looked at
    socket.setTimeout(this.#limits.handshakeTimeoutMs, () => socket.destroy())
    // Without a byte no TLS: whoever is silent costs a socket and nothing else.
    const enter = (): void => {
      if (socket.readableLength === 0) return // its end
      socket.off('readable', enter)
      this.#entering.push(socket)
      if (this.#entering.length === 1) setImmediate(() => this.#enterNext())
    }
    socket.on('readable', enter)
  }

  /**
   * A handshake takes a millisecond of this thread. They begin one by one, and while there is a crowd a third of the time
   * is theirs: the requests of those who are in come first.
   */
  #enterNext(): void {
    const socket = this.#entering.shift()
    const startedAt = performance.now()
    if (socket !== undefined && !socket.destroyed) {
      socket.setTimeout(0) // from here on TLS has a timer of its own
      this.#tls.emit('connection', socket)
    }
    if (this.#entering.length === 0) return
    const restMs = REST_PER_HANDSHAKE * (performance.now() - startedAt)
    if (restMs < 1) setImmediate(() => this.#enterNext())
    else setTimeout(() => this.#enterNext(), restMs)
  }

  /**
   * A client is done within some tens of milliseconds: whoever has been at it longest is most likely a stranger who will
   * not be, and must not keep the others out until its time is up.
   */
  #giveUpOldestHandshake(): void {
    for (const [peer, socket] of this.#handshakes) {
      this.#handshakes.delete(peer)
      this.#noteRefusal('handshakes', peer)
      socket.destroy()
      return
    }
  }

  /** One line for all that are refused until there is room again. */
  #noteRefusal(limit: 'connections' | 'handshakes', peer: string): void {
    this.#context.observer.connectionRefused?.(limit)
    if (!this.#isFull) this.#options.logger.warning(`connection ${peer}: refused, too many ${limit}`)
    this.#isFull = true
  }

  /** The handshake is done: is this client welcome? Nothing it sent has been looked at yet. */
  #admit(socket: TLSSocket): void {
    const peer = hostAndPort(socket.remoteAddress, socket.remotePort)
    this.#handshakes.delete(peer)
    if (this.#handshakes.size < this.#limits.maxHandshakes / 2) this.#isFull = false
    const chain = presentedChain(socket.getPeerX509Certificate())
    const { authorized: isAuthorized, authorizationError } = socket
    // node:tls gives the code as a string, whatever its type says; nothing else counts as "no objection".
    const objection = authorizationError ? String(authorizationError) : undefined
    const refusal = refusalOf({ chain, isAuthorized, objection }, this.#cas, this.#now())
    if (refusal !== undefined || this.#closing !== undefined) {
      if (refusal !== undefined) this.#handshakeFailed(peer, 'client_certificate', refusal)
      socket.on('error', () => {}) // it is gone; how does not matter
      socket.destroy()
      return
    }
    socket.allowHalfOpen = true // a client that has sent its last request still gets its replies
    const knowsScopes = socket.alpnProtocol === SCOPED_SIGNING_PROTOCOL
    this.#connections.add(new Connection(socket, describeClient(peer, chain, { knowsScopes }), this.#context))
    this.#context.observer.connectionOpened?.(chain)
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection)
    if (this.#connections.size === 0) this.#allClosed?.()
  }

  #onHandshakeError(error: NodeJS.ErrnoException & { reason?: string }, socket: TLSSocket): void {
    // A client that went away has no address any more and is reported when its TCP connection closes.
    if (socket.remoteAddress === undefined) return
    const peer = hostAndPort(socket.remoteAddress, socket.remotePort)
    const raw = this.#handshakes.get(peer)
    if (raw === undefined) return
    this.#handshakes.delete(peer)
    const isSilent = error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT' && raw.bytesRead === 0
    if (isSilent) this.#options.logger.debug(`connection ${peer}: closed before TLS handshake: nothing came`)
    else {
      const reason = error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT' ? 'timeout' : 'tls'
      this.#handshakeFailed(peer, reason, error.reason ?? error.message)
    }
    socket.destroy()
  }

  /** A health check connects and closes: nothing to worry about. A client that gives up halfway does not trust us. */
  #onRawClose(peer: string, socket: Socket): void {
    if (this.#handshakes.get(peer) !== socket) return
    this.#handshakes.delete(peer)
    if (this.#closing !== undefined) return
    if (socket.bytesRead === 0)
      this.#options.logger.debug(`connection ${peer}: closed by client before TLS handshake`)
    else this.#handshakeFailed(peer, 'closed', 'closed by client in the middle of it')
  }

  #handshakeFailed(peer: string, reason: HandshakeFailure, text: string): void {
    this.#options.logger.error(`connection ${peer}: TLS handshake failed: ${text}`)
    this.#context.observer.handshakeFailed?.(reason)
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date()
  }

  #warnOfExpiry(): void {
    const leftMs = this.#validity.to.getTime() - this.#now().getTime()
    if (leftMs <= 0) this.#options.logger.warning('server certificate has expired')
    else if (leftMs < EXPIRY_NOTICE_MS)
      this.#options.logger.warning('server certificate is expiring in 30 days')
  }
}

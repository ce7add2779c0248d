// The key server's shell: listens, lets clients in or not, keeps the list of connections, reloads and closes.
import { createServer as createTcpServer, type AddressInfo, type ListenOptions, type Server } from 'node:net'
import { availableParallelism } from 'node:os'
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from 'node:tls'
import { hostAndPort, type Logger } from '@latchkey/core'
import type { KeyStore } from '@latchkey/keys'
import { SCOPED_SIGNING_PROTOCOL } from '@latchkey/wire'
import type { Denial, Sealing } from './answer.ts'
import type { AuditTrail } from './audit-trail.ts'
import { BackgroundLane } from './background-lane.ts'
import { describeClient } from './client.ts'
import { type ClientCas, presentedChain, readClientCas, refusalOf } from './client-certificate.ts'
import { Connection, type ConnectionContext } from './connection.ts'
import { Doorway } from './doorway.ts'
import { KeyServerError } from './errors.ts'
import { type Limits, withDefaults } from './limits.ts'
import type { KeyServerObserver } from './observer.ts'
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
   * Why a client may not use a key in a way; undefined: it may. Denied as if there were no such key (2). Default: every
   * client may do everything, raw RSA decryption, MD5 and SHA-1 included, as clients in the field may still ask for them.
   */
  readonly denial?: Denial
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
  /**
   * Listens at a Unix socket as well, as often as wanted. Clients prove who they are there too.
   *
   * @throws {KeyServerError} ERR_KEYSERVER_LISTEN as a rejection, for instance if the path exists.
   */
  listenOn(path: string): Promise<void>
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

/** Operations handed to the thread pool beyond one a core: so that a thread that is done finds the next one there. */
const AHEAD = 2

class TlsKeyServer implements KeyServer {
  readonly #options: KeyServerOptions
  readonly #limits: Limits
  readonly #context: ConnectionContext
  readonly #tcp: Server
  /** One for each Unix socket. */
  readonly #unix: Server[] = []
  readonly #tls: TlsServer
  readonly #doorway: Doorway
  readonly #connections = new Set<Connection>()
  #cas: ClientCas
  #validity: Validity
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
        denial: options.denial,
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
    this.#doorway = new Doorway({
      tls: this.#tls,
      limits: this.#limits,
      logger,
      observer,
      connectionCount: () => this.#connections.size,
      through: (socket, peer) => this.#admit(socket, peer),
    })
    this.#tcp = createTcpServer({ noDelay: true }, (socket) => this.#doorway.accept(socket, 'tcp'))
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
      handshakes: this.#doorway.size,
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
    await this.#listen(this.#tcp, { host, port }, hostAndPort(host, port))
    const address = this.#tcp.address() as AddressInfo // of a TCP server that listens
    this.#options.logger.info(`Listening at tcp://${hostAndPort(address.address, address.port)}`)
    return address
  }

  async listenOn(path: string): Promise<void> {
    const server = createTcpServer((socket) => this.#doorway.accept(socket, 'unix'))
    await this.#listen(server, { path }, path)
    this.#unix.push(server)
    this.#options.logger.info(`Listening at unix:${path}`)
  }

  async #listen(server: Server, where: ListenOptions, text: string): Promise<void> {
    if (this.#closing !== undefined) throw new TypeError('this key server was closed')
    await new Promise<void>((resolve, reject) => {
      const refuse = (cause: NodeJS.ErrnoException): void => {
        const detail = `${text}: ${cause.code ?? cause.message}`
        reject(new KeyServerError('ERR_KEYSERVER_LISTEN', { detail, cause }))
      }
      server.once('error', refuse)
      server.listen(where, () => {
        server.off('error', refuse)
        resolve()
      })
    })
    // From now on: an accept that failed, for instance for want of file descriptors. The next one may work.
    server.on('error', (error) => this.#options.logger.error(`accept failed: ${error.message}`))
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
    const stopped = [this.#tcp, ...this.#unix].map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve()) // also called, with an error, if it never listened
        }),
    )
    this.#doorway.close()
    const drained = new Promise<void>((resolve) => {
      this.#allClosed = resolve
    })
    if (this.#connections.size === 0) this.#allClosed?.()
    for (const connection of this.#connections) connection.drain('shutdown', drainMs)
    await drained
    await Promise.all(stopped)
  }

  /** The handshake is done: is this client welcome? Nothing it sent has been looked at yet. */
  #admit(socket: TLSSocket, peer: string): void {
    const chain = presentedChain(socket.getPeerX509Certificate())
    const { authorized: isAuthorized, authorizationError } = socket
    // node:tls gives the code as a string, whatever its type says; nothing else counts as "no objection".
    const objection = authorizationError ? String(authorizationError) : undefined
    const refusal = refusalOf({ chain, isAuthorized, objection }, this.#cas, this.#now())
    if (refusal !== undefined || this.#closing !== undefined) {
      if (refusal !== undefined) this.#doorway.noteFailure(peer, 'client_certificate', refusal)
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

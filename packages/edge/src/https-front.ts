// The listening side of the edge: TLS with whatever signer it is given, and the proxy behind it.
import type { Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Logger } from '@latchkey/core'
import { type CertificateStore, createServer, type Signer, TlsError, type TlsErrorCode } from '@latchkey/tls'
import type { HostTable } from './host-table.ts'
import type { EdgeLimits } from './limits.ts'
import { limitLog } from './limited-log.ts'
import { attachProxy, type Proxy, type Site } from './proxy/proxy.ts'

export interface HttpsFrontOptions {
  readonly certificates: CertificateStore
  readonly signer: Signer
  /** Asked for each request. */
  readonly sites: () => HostTable<Site>
  readonly limits: EdgeLimits
  readonly logger: Logger
}

/** Our side failed: an operator has to look. All other handshake errors are the peer's. */
const OURS: ReadonlySet<TlsErrorCode> = new Set([
  'ERR_TLS_SIGNER',
  'ERR_TLS_SIGNER_TIMEOUT',
  'ERR_TLS_SIGNER_WRONG',
  'ERR_TLS_SIGNER_BUSY',
  'ERR_TLS_INTERNAL',
  'ERR_TLS_OVERLOADED',
  'ERR_TLS_NOT_ADMITTED',
])

/** Milliseconds between looks for connections whose header section is overdue. */
const CHECK_INTERVAL_MS = 1000

/**
 * Connections the kernel holds for us while we are busy. With Node's 511 a burst of a thousand loses half its SYNs, and those
 * clients wait a second for the next try. Linux takes the smaller of this and net.core.somaxconn.
 */
const BACKLOG = 4096

export class HttpsFront implements AsyncDisposable {
  readonly #server: Server
  readonly #proxy: Proxy
  readonly #sockets = new Set<Socket>()
  #closing: Promise<void> | undefined

  constructor({ certificates, signer, sites, limits, logger }: HttpsFrontOptions) {
    const clock = (): number => performance.now()
    this.#server = createServer({
      certificates,
      signer,
      alpnProtocols: ['http/1.1'],
      maxSignaturesPerKey: limits.maxSignaturesPerKey,
      // Bodies come from the origin and are nobody's once sent: a large download leaves no garbage behind.
      releaseWritten: true,
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: limits.headersTimeoutMs,
      // A large upload over a slow line is no attack: what counts is its pace (clientBytesPerSecond).
      requestTimeout: 0,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: Math.min(CHECK_INTERVAL_MS, limits.headersTimeoutMs),
      insecureHTTPParser: false,
    })
    this.#server.maxConnections = limits.maxConnections
    this.#proxy = attachProxy(this.#server, { hosts: sites, limits, logger, clock })
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    const log = limitLog(logger, clock)
    this.#server.on('tlsClientError', (error: Error, socket: Socket, asked: string) => {
      const code = error instanceof TlsError ? error.code : 'ERR_TLS_INTERNAL'
      const peer = socket.remoteAddress ?? 'a client that has gone'
      const serverName = asked.slice(0, MAX_NAME_LENGTH)
      const site = serverName === '' ? '' : ` for ${serverName}`
      log(
        OURS.has(code) ? 'warning' : 'info',
        `TLS handshake with ${peer}${site} failed: ${code}: ${withCauses(error)}`,
        { code, peer, ...(serverName === '' ? {} : { serverName }) },
      )
    })
  }

  /** Resolves with the address once connections are accepted. @throws the error of `net.Server.listen`. */
  listen(listen: { host: string; port: number }): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ ...listen, backlog: BACKLOG }, () => {
        this.#server.removeListener('error', reject)
        // What can still come is a failing accept (EMFILE): the next accept may work.
        this.#server.on('error', () => {})
        resolve(this.#server.address() as AddressInfo)
      })
    })
  }

  address(): AddressInfo | undefined {
    const address = this.#server.address()
    return address === null || typeof address === 'string' ? undefined : address
  }

  /** Requests under way. */
  get active(): number {
    return this.#proxy.active
  }

  /** Accepts nothing more, gives requests under way `drainMs` to finish, then closes every connection. */
  close({ drainMs }: { drainMs: number }): Promise<void> {
    this.#closing ??= this.#close(drainMs)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close({ drainMs: 0 })
  }

  async #close(drainMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      // Never listening is as good as closed.
      this.#server.close(() => resolve())
    })
    const deadline = AbortSignal.timeout(drainMs)
    const expired = new Promise<void>((resolve) =>
      deadline.addEventListener('abort', () => resolve(), { once: true }),
    )
    if (drainMs > 0) await Promise.race([this.#proxy.drain(), expired])
    // What was answered with keep-alive before draining began is idle now, the rest of it is late.
    this.#server.closeIdleConnections()
    if (drainMs > 0 && this.#proxy.active === 0) await Promise.race([this.#flushed(), expired])
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  /** The last bytes of the last responses are with the kernel, or their connections gone. */
  #flushed(): Promise<unknown> {
    const flushing = [...this.#sockets].filter((socket) => socket.writableLength > 0)
    return Promise.all(
      flushing.map(
        (socket) => new Promise((resolve) => socket.once('drain', resolve).once('close', resolve)),
      ),
    )
  }
}

/** Of a DNS name as text, RFC 1035 §2.3.4: a client that says more names nothing, and its line need not be longer. */
const MAX_NAME_LENGTH = 253

/** More would be a chain that bites its tail. */
const MAX_CAUSES = 3

/** Why the signer failed is what an operator wants to know: it is the cause, or the cause of the cause. */
function withCauses(error: Error): string {
  const texts = [error.message]
  for (let at = error.cause; at instanceof Error && texts.length <= MAX_CAUSES; at = at.cause)
    texts.push(at.message)
  return texts.join(': ')
}

// Servers: the engine behind net.Server and http.Server.
import {
  createServer as createHttpServer,
  type RequestListener,
  type Server as HttpServer,
  type ServerOptions as HttpServerOptions,
} from 'node:http'
import { createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net'
import { HandshakeSlots } from '../admission/handshake-slots.ts'
import { createClientCaPolicy } from '../client-certificate/client-ca-policy.ts'
import type { ClientCertificatePolicies } from '../client-certificate/policy.ts'
import type { CaOption } from '../client-certificate/trust-anchors.ts'
import { publicRandom, secretRandom } from '../crypto-provider.ts'
import { TlsError } from '../errors.ts'
import { CIPHER_SUITES12 } from '../handshake12/cipher-suite12.ts'
import { createServerContext, type ServerContextOptions } from '../server-context.ts'
import { createTicketKeyring } from '../ticket/ticket-keys.ts'
import { TicketSealer } from '../ticket/ticket-sealer.ts'
import type { Signer } from '../signer/signer.ts'
import { HandshakeQueue } from './handshake-queue.ts'
import { ServerTransport, type TransportOptions } from './server-transport.ts'
import { TimerWheel } from './timer-wheel.ts'
import type { TlsSocket } from './tls-socket.ts'

export interface TlsServerOptions extends Omit<ServerContextOptions, 'tickets'> {
  /**
   * Seals and opens session tickets; `false`: no session is resumed. Default: keys of this server alone, from its own
   * randomness, changed every hour and honoured for 18.
   */
  readonly tickets?: TicketSealer | false
  /** Whether clients are asked for a certificate, all in the same way. Default false. See `clientCertificates`. */
  readonly requestCert?: boolean
  /** With `requestCert`: whether a client that shows none, or none of `ca`, is refused. Default true. */
  readonly rejectUnauthorized?: boolean
  /** PEM of the CAs that client certificates must come from; there is no default. */
  readonly ca?: CaOption
  /** Does the private-key operation of each full handshake. */
  readonly signer: Signer
  /** From accept to the client's Finished. Default 10,000 ms. */
  readonly handshakeTimeoutMs?: number
  /** From accept to a whole ClientHello. Default 5,000 ms. */
  readonly helloTimeoutMs?: number
  /** Default 3,000 ms; never more than is left of the handshake. */
  readonly signerTimeoutMs?: number
  /** Handshakes in progress; further connections are closed at once. Default 4096. */
  readonly maxHandshakes?: number
  /** The same for one IPv4 address, or one /64; loopback is not limited. Default 256. */
  readonly maxHandshakesPerSource?: number
  /** Whether a FIN without close_notify is an error. Default false: HTTP delimits its messages itself. */
  readonly requireCloseNotify?: boolean
  /** Whether a plain HTTP request on the port is answered with 400. Default: true for HTTP servers. */
  readonly answerPlainHttp?: boolean
  /** As in `node:net`. Default false. */
  readonly allowHalfOpen?: boolean
  /**
   * Frees each written buffer that owns all of its memory as soon as it is sealed, without waiting for a collection. Only
   * for writers that give their buffers away, as a proxy does: the bytes are gone after `write`. Default false.
   */
  readonly releaseWritten?: boolean
}

/** All listeners of a process share the event loop, so they share the budget of a turn, and its one timer. */
const queue = new HandshakeQueue()
const timers = new TimerWheel()

/**
 * A TCP server whose connections are TLS: emits `secureConnection` (TlsSocket) once a handshake is done, and
 * `tlsClientError` (TlsError, net.Socket, server name or '') for one that failed.
 */
export function createTlsServer(
  options: TlsServerOptions,
  onSecureConnection?: (socket: TlsSocket) => void,
): NetServer {
  const server = createNetServer({ allowHalfOpen: true, noDelay: true })
  if (onSecureConnection !== undefined) server.on('secureConnection', onSecureConnection)
  return secure(server, options)
}

/**
 * An HTTPS server, as `https.createServer`, whose private key may be anywhere.
 *
 * @example
 * const server = createServer({ certificates, signer }, (request, response) => response.end('hello'))
 * server.listen(8443, '127.0.0.1')
 */
export function createServer(
  options: TlsServerOptions & HttpServerOptions,
  requestListener?: RequestListener,
): HttpServer {
  const server = createHttpServer({ noDelay: true, ...options }, requestListener)
  // http.Server serves each 'connection': let it serve each 'secureConnection' instead, as node:https does.
  for (const serve of takeConnectionListeners(server)) server.on('secureConnection', serve)
  return secure(server, { answerPlainHttp: true, ...options, allowHalfOpen: true })
}

/** What a server of Node does with each TCP connection; the server does it no more. */
export function takeConnectionListeners(server: NetServer): ((socket: unknown) => void)[] {
  const listeners = server.listeners('connection') as ((socket: unknown) => void)[]
  server.removeAllListeners('connection')
  return listeners
}

const DEFAULT_HANDSHAKE_TIMEOUT_MS = 10_000
const DEFAULT_SIGNER_TIMEOUT_MS = 3_000
const DEFAULT_MAX_HANDSHAKES = 4096
/** Sixteen hosts that only wait cannot fill the places of all; a busy proxy of clients needs far fewer at a time. */
const DEFAULT_MAX_HANDSHAKES_PER_SOURCE = 256

/** Makes each accepted connection of `server` a TLS connection. */
export function secure<S extends NetServer>(server: S, options: TlsServerOptions): S {
  checkSigner(options)
  const transport: TransportOptions = {
    context: createServerContext({
      ...options,
      tickets: ticketsOf(options),
      clientCertificates: clientCertificatesOf(options),
    }),
    signer: options.signer,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? DEFAULT_HANDSHAKE_TIMEOUT_MS,
    helloTimeoutMs: options.helloTimeoutMs,
    signerTimeoutMs: options.signerTimeoutMs ?? DEFAULT_SIGNER_TIMEOUT_MS,
    requireCloseNotify: options.requireCloseNotify ?? false,
    allowHalfOpen: options.allowHalfOpen ?? false,
    answerPlainHttp: options.answerPlainHttp ?? false,
    releaseWritten: options.releaseWritten ?? false,
    queue,
    timers,
  }
  const slots = new HandshakeSlots({
    total: options.maxHandshakes ?? DEFAULT_MAX_HANDSHAKES,
    perSource: options.maxHandshakesPerSource ?? DEFAULT_MAX_HANDSHAKES_PER_SOURCE,
  })
  const events = {
    secured: (socket: TlsSocket) => void server.emit('secureConnection', socket),
    failed: (error: TlsError, socket: Socket, serverName: string) =>
      void server.emit('tlsClientError', error, socket, serverName),
  }
  // net.Server reads it at each accept; http.Server has no option for it.
  Object.assign(server, { pauseOnConnect: true })
  server.on('connection', (socket: Socket) => {
    const release = slots.take(socket.remoteAddress)
    if (release === undefined) {
      server.emit('tlsClientError', new TlsError('ERR_TLS_OVERLOADED'), socket, '')
      socket.destroy() // before any byte: no alert
      return
    }
    // A burst of a thousand accepts is one turn of the event loop: what each of them costs us waits for its turn.
    queue.run(() => {
      ServerTransport.accept(socket, transport, { ...events, settled: release })
      socket.resume()
    })
  })
  return server
}

/** @throws {TypeError} */
function checkSigner({ cipherSuites12 = [], signer }: TlsServerOptions): void {
  const needing = cipherSuites12.find((name) => CIPHER_SUITES12[name].keyExchange === 'rsa')
  if (needing !== undefined && signer.decryptPremaster === undefined)
    throw new TypeError(`${needing} needs a signer with decryptPremaster`)
}

function clientCertificatesOf(options: TlsServerOptions): ClientCertificatePolicies | undefined {
  if (options.requestCert !== true) return options.clientCertificates
  const policy = createClientCaPolicy(options)
  return () => policy
}

function ticketsOf({ tickets, clock = Date.now }: TlsServerOptions): TicketSealer | undefined {
  if (tickets === false) return undefined
  return (
    tickets ??
    new TicketSealer({
      keyring: createTicketKeyring({ random: secretRandom, clock }),
      random: publicRandom,
      clock,
    })
  )
}

// HTTP/2 through Node's own http2, with HTTP/1.1 beside it for clients that ask for it: by ALPN.
import { createServer as createHttp1Server, type Server as Http1Server } from 'node:http'
import {
  createServer as createPlainHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerOptions as Http2ServerOptions,
} from 'node:http2'
import type { Socket } from 'node:net'
import { failLateWrites } from './http2-late-writes.ts'
import { secure, takeConnectionListeners, type TlsServerOptions } from './server.ts'
import type { TlsSocket } from './tls-socket.ts'

export interface Http2Options extends TlsServerOptions, Http2ServerOptions {
  /** Whether clients without HTTP/2 are served HTTP/1.1. Default false, as in `node:http2`. */
  readonly allowHTTP1?: boolean
}

export type Http2RequestListener = (request: Http2ServerRequest, response: Http2ServerResponse) => void

/**
 * An HTTP/2 server, as `http2.createSecureServer`, whose private key may be anywhere. ALPN is `h2`, and `http/1.1` with
 * `allowHTTP1`: those requests come to the same listener as `http.IncomingMessage` and `http.ServerResponse`.
 *
 * @example
 * const server = createHttp2Server({ certificates, signer, allowHTTP1: true }, (request, response) => response.end('hello'))
 * server.listen(8443, '127.0.0.1')
 */
export function createHttp2Server(
  options: Http2Options,
  requestListener?: Http2RequestListener,
): Http2Server {
  const { allowHTTP1 = false, ...both } = options
  const server = createPlainHttp2Server({ ...both }, requestListener)
  const serveHttp2 = takeConnectionListeners(server)
  const http1 = allowHTTP1 ? attachHttp1(server, both) : undefined
  server.on('secureConnection', (socket: TlsSocket) => {
    if (socket.alpnProtocol === 'h2' || http1 === undefined) serve(server, serveHttp2, socket)
    else http1.emit('connection', socket)
  })
  const alpnProtocols = allowHTTP1 ? ['h2', 'http/1.1'] : ['h2']
  return secure(server, { answerPlainHttp: true, alpnProtocols, ...both, allowHalfOpen: true })
}

function serve(server: Http2Server, serveHttp2: ((socket: unknown) => void)[], socket: TlsSocket): void {
  const lend = (session: ServerHttp2Session): void => {
    failLateWrites(session)
    lendProperties(session, socket)
  }
  // http2 emits it while it takes the socket over, or not at all for a client without ALPN.
  server.prependOnceListener('session', lend)
  for (const listener of serveHttp2) listener.call(server, socket)
  server.removeListener('session', lend)
}

/** What is asked of a `socket` by listeners of requests, and answered by a TlsSocket. */
const LENT = [
  'encrypted',
  'authorized',
  'authorizationError',
  'alpnProtocol',
  'servername',
  'session',
  'remoteAddress',
  'remotePort',
  'remoteFamily',
  'localAddress',
  'localPort',
  'bytesRead',
  'bytesWritten',
  'address',
  'getProtocol',
  'getCipher',
  'getEphemeralKeyInfo',
  'getPeerCertificate',
  'getPeerX509Certificate',
  'getCertificate',
  'getX509Certificate',
  'getSession',
  'isSessionReused',
  'exportKeyingMaterial',
  'fingerprint',
] as const satisfies readonly (keyof TlsSocket)[]

/**
 * http2 puts a socket of its own between itself and a Duplex, which knows nothing of TLS: a request would not be `encrypted`
 * and come from nowhere. What it is asked for, our socket answers.
 */
function lendProperties(session: ServerHttp2Session, socket: TlsSocket): void {
  Object.defineProperties(session, {
    encrypted: { value: true },
    alpnProtocol: { value: socket.alpnProtocol },
  })
  // `session.socket` is a proxy that lets nothing be defined; its methods return the socket itself.
  const inner: Socket = session.socket.setMaxListeners(session.socket.getMaxListeners())
  for (const name of LENT) {
    const get = (): unknown => {
      const value = socket[name]
      return typeof value === 'function' ? value.bind(socket) : value
    }
    Object.defineProperty(inner, name, { get, configurable: true })
  }
}

/** These change what http.Server does by being listened to: it listens when somebody listens to the server in front of it. */
const HTTP1_EVENTS: ReadonlySet<string | symbol> = new Set([
  'checkContinue',
  'checkExpectation',
  'clientError',
  'connect',
  'dropRequest',
  'upgrade',
])

/** An http.Server that never listens itself. Its time limits run from when `server` listens until it closes. */
function attachHttp1(server: Http2Server, options: object): Http1Server {
  const http1 = createHttp1Server({ ...options }, (...exchange) => void server.emit('request', ...exchange))
  server.on('newListener', (name: string) => {
    if (HTTP1_EVENTS.has(name) && http1.listenerCount(name) === 0)
      http1.on(name, (...values: unknown[]) => void server.emit(name, ...values))
  })
  server.on('listening', () => http1.emit('listening'))
  const close = server.close.bind(server)
  // http2's close() ends its sessions, and knows nothing of idle HTTP/1.1 connections.
  server.close = (callback) => {
    http1.close()
    return close(callback)
  }
  return http1
}

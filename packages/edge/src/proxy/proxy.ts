// The HTTP side of the edge: admits a request, finds its origin, starts the exchange.
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Logger } from '@latchkey/core'
import { EDGE_ERRORS, EdgeError, type GatewayErrorCode } from '../errors.ts'
import type { HostTable } from '../host-table.ts'
import { limitLog, type LimitedLog } from '../limited-log.ts'
import type { EdgeLimits } from '../limits.ts'
import { ClientPlaces } from './client-places.ts'
import { Exchange } from './exchange.ts'
import { requestFields } from './fields.ts'
import { answerError, rawErrorResponse, SERVED_METHODS } from './gateway-response.ts'
import type { Origin } from './origin.ts'
import { readFraming, readRequestTarget, type RequestTarget } from './request-target.ts'

/** What the names of one host entry lead to. */
export interface Site {
  readonly origin: Origin
}

export interface ProxyOptions {
  /** Asked for each request, so that a reload takes effect at once. */
  readonly hosts: () => HostTable<Site>
  readonly limits: EdgeLimits
  readonly logger: Logger
  /** Milliseconds, monotonic; for the access lines. */
  readonly clock: () => number
}

/** What the proxy asks of a socket beyond `net.Socket`: present on sockets of `@latchkey/tls`. */
interface SecureSocket {
  readonly encrypted?: boolean
  readonly servername?: string | false
}

/** Answers the requests of `server`, which has no other request listener, from now on. */
export function attachProxy(server: Server, options: ProxyOptions): Proxy {
  const proxy = new Proxy(options)
  // Bounded by maxHeaderSize; the default limit by count would drop fields silently.
  server.maxHeadersCount = 0
  server.on('request', (request, response) => proxy.handle(request, response))
  // RFC 9110 §10.1.1: whether to continue is the origin's decision, so Expect goes on with the rest.
  server.on('checkContinue', (request, response) => proxy.handle(request, response))
  server.on('connect', (request) => proxy.refuseTunnel(request))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => proxy.refuse(error, socket))
  return proxy
}

/** How the parser's verdicts read as a status; everything else is 400. */
const PARSER_STATUS: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}

const FRAMING_IN_DOUBT: ReadonlySet<GatewayErrorCode> = new Set([
  'ERR_EDGE_BAD_REQUEST',
  'ERR_EDGE_TRANSFER_CODING',
])

export class Proxy {
  readonly #options: ProxyOptions
  /** Requests under way on each connection. */
  readonly #perSocket = new WeakMap<Duplex, number>()
  /** Two, so that a flood of refused requests does not hide an origin that is down. */
  readonly #logRefusal: LimitedLog
  readonly #logFailure: LimitedLog
  readonly #underWay = new Set<ServerResponse>()
  readonly #places: ClientPlaces
  #isDraining = false
  #idle: (() => void) | undefined

  constructor(options: ProxyOptions) {
    this.#options = options
    this.#places = new ClientPlaces(options.limits.maxPerClient)
    this.#logRefusal = limitLog(options.logger, options.clock)
    this.#logFailure = limitLog(options.logger, options.clock)
  }

  /** Requests under way. */
  get active(): number {
    return this.#underWay.size
  }

  /** From now on each response is the last of its connection. Resolves when no request is under way. */
  drain(): Promise<void> {
    this.#isDraining = true
    for (const response of this.#underWay) response.shouldKeepAlive = false
    if (this.#underWay.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#idle = resolve
    })
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const depth = this.#enter(request, response)
    if (this.#isDraining) response.shouldKeepAlive = false
    try {
      if (depth > this.#options.limits.maxPipelined) throw new EdgeError('ERR_EDGE_PIPELINE')
      this.#forward(request, response)
    } catch (error) {
      // Nothing above waits or calls out: what is thrown here is either ours or a field Node will not send.
      const code = error instanceof EdgeError ? (error.code as GatewayErrorCode) : 'ERR_EDGE_BAD_REQUEST'
      const peer = request.socket.remoteAddress ?? 'a client that has gone'
      this.#logRefusal('info', `request of ${peer} refused: ${code}`, { code, peer })
      // Where the framing is in doubt, so is where the next request would begin.
      if (FRAMING_IN_DOUBT.has(code)) response.shouldKeepAlive = false
      request.resume()
      answerError(response, code)
    }
  }

  /** What the HTTP parser refused. Nothing can be said once a response is on its way on that connection. */
  refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    const code = error.code ?? ''
    if (!socket.writable || code === 'ECONNRESET' || (this.#perSocket.get(socket) ?? 0) > 0) {
      socket.destroy()
      return
    }
    this.#logRefusal('info', `request refused: ${code}`, { code })
    const status = PARSER_STATUS[code] ?? 400
    socket.end(rawErrorResponse(status, EDGE_ERRORS.ERR_EDGE_BAD_REQUEST.text), () => socket.destroy())
  }

  /**
   * CONNECT: what is in front of it on the connection goes with it, as an answer to CONNECT would be taken for theirs.
   * `node:http` has let go of the socket by now and neither handles its errors nor ends its responses.
   */
  refuseTunnel({ socket }: IncomingMessage): void {
    socket.on('error', () => {})
    if ((this.#perSocket.get(socket) ?? 0) === 0) {
      socket.end(rawErrorResponse(405, EDGE_ERRORS.ERR_EDGE_METHOD.text), () => socket.destroy())
      return
    }
    for (const response of this.#underWay) if (response.req.socket === socket) abandon(response)
    socket.destroy()
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const { limits } = this.#options
    if (request.method === 'TRACE') throw new EdgeError('ERR_EDGE_METHOD')
    if (request.headers.upgrade?.toLowerCase().includes('websocket') === true)
      throw new EdgeError('ERR_EDGE_UPGRADE')
    const target = readRequestTarget(request)
    const framing = readFraming(request)
    const origin = this.#originOf(request, target)
    if (request.method === 'OPTIONS' && answerLastHop(request, response)) return
    const release = this.#places.claim(request.socket.remoteAddress)
    if (release === undefined) throw new EdgeError('ERR_EDGE_CLIENT_LIMIT')
    response.once('close', release)
    const { encrypted } = request.socket as SecureSocket
    const fields = requestFields(request.rawHeaders, needsLength(request, framing) ? NO_BODY : framing, {
      address: request.socket.remoteAddress,
      scheme: encrypted === true ? 'https' : 'http',
      authority: target.authority,
      httpVersion: request.httpVersion,
    })
    new Exchange(request, response, {
      origin,
      path: target.path,
      fields,
      framing,
      limits,
      log: this.#logFailure,
      logClient: this.#logRefusal,
      logFields: { host: target.hostName, method: request.method },
    }).start()
  }

  /**
   * RFC 9110 §7.4, §15.5.20: a connection that was opened for one site does not speak for another one, even where this
   * process serves both: the client checked the certificate of the first only.
   */
  #originOf(request: IncomingMessage, { hostName }: RequestTarget): Origin {
    const hosts = this.#options.hosts()
    const site = hosts.find(hostName)
    const { servername } = request.socket as SecureSocket
    const isOfConnection =
      typeof servername !== 'string' || servername === '' || hosts.find(servername) === site
    if (site === undefined || !isOfConnection)
      throw new EdgeError('ERR_EDGE_MISDIRECTED', { detail: hostName })
    return site.origin
  }

  #enter(request: IncomingMessage, response: ServerResponse): number {
    const { socket } = request
    const depth = (this.#perSocket.get(socket) ?? 0) + 1
    const started = this.#options.clock()
    this.#perSocket.set(socket, depth)
    this.#underWay.add(response)
    response.once('close', () => {
      this.#perSocket.set(socket, (this.#perSocket.get(socket) ?? 1) - 1)
      this.#underWay.delete(response)
      this.#logAccess(request, response, started)
      if (response.writableFinished && !request.complete) this.#linger(request)
      if (this.#underWay.size === 0) this.#idle?.()
    })
    return depth
  }

  /** Closing on a client that is still sending resets the connection, and the reset can overtake the response. */
  #linger(request: IncomingMessage): void {
    const { socket } = request
    const deadline = setTimeout(() => socket.destroy(), this.#options.limits.lingerMs)
    const done = (): void => clearTimeout(deadline)
    request.once('end', done)
    socket.once('close', done)
    request.resume()
  }

  /** Without the query: it carries tokens often enough. */
  #logAccess(request: IncomingMessage, response: ServerResponse, started: number): void {
    const { logger, clock } = this.#options
    if (!logger.isEnabled('debug')) return
    const path = (request.url ?? '').split('?', 1)[0] ?? ''
    const host = request.headers.host ?? ''
    const status = response.statusCode
    const durationMs = Math.round(clock() - started)
    const ending = response.writableFinished ? '' : ' (broken off)'
    logger.debug(`${request.method} ${host}${path} ${status} ${durationMs}ms${ending}`, {
      host,
      method: request.method,
      path,
      status,
      durationMs,
    })
  }
}

/** Node 24 does not say `close` of a response whose socket it has let go of; who waits for it would wait for ever. */
function abandon(response: ServerResponse): void {
  response.destroy()
  setImmediate(() => {
    if (!response.closed) response.emit('close')
  })
}

const NO_BODY = { kind: 'length', length: '0' } as const

/** RFC 9110 §8.6: where a body is usual and there is none, the length says so; Node would say `chunked`. */
function needsLength(request: IncomingMessage, framing: { kind: string }): boolean {
  return framing.kind === 'none' && !['GET', 'HEAD', 'DELETE', 'OPTIONS'].includes(request.method ?? '')
}

/** RFC 9110 §7.6.2: OPTIONS with `Max-Forwards: 0` asks the edge itself. Other counts are not passed on: the origin is the end. */
function answerLastHop(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.headers['max-forwards'] !== '0') return false
  request.resume()
  response.writeHead(204, ['Allow', SERVED_METHODS]).end()
  return true
}

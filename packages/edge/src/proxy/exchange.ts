// One request on its way to the origin and its response on the way back, both streaming.
//
// What can cross, and which wins:
//   client gone, response not finished    the origin request is destroyed; nobody is left to answer
//   origin answers before the upload ends the answer goes out; the upload goes on while the answer lasts, then lingers
//   origin stops reading the upload       its answer counts if it has begun, else 502; the rest is read and dropped
//   origin breaks off in its answer       the client connection is destroyed: a clean end would be a lie (RFC 9112 §8)
//   a deadline, an answer already begun   the client connection is destroyed, for the same reason
//   the upload is too slow                408 if no answer has begun, else the connection is destroyed
//   the download is too slow              the client connection is destroyed: it takes no bytes, so no words either
import { type ClientRequest, type IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'
import type { LogFields } from '@latchkey/core'
import type { GatewayErrorCode } from '../errors.ts'
import type { LimitedLog } from '../limited-log.ts'
import type { EdgeLimits } from '../limits.ts'
import { ClientWatch, type Direction } from './client-pace.ts'
import { type Framing, interimFields, responseFields, trailerFields } from './fields.ts'
import { answerError } from './gateway-response.ts'
import type { Origin } from './origin.ts'

export interface ExchangeOptions {
  readonly origin: Origin
  readonly path: string
  /** For the origin, complete. */
  readonly fields: readonly string[]
  readonly framing: Framing
  readonly limits: EdgeLimits
  readonly log: LimitedLog
  /** For what is the client's doing: a flood of it must not hide an origin that is down. */
  readonly logClient: LimitedLog
  /** Of this request: host and method. */
  readonly logFields: LogFields
}

/** RFC 9110 §9.2.2: what may be sent again without asking. Only without a body, which is gone once sent. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE'])

/** Errors of a pooled connection that the origin closed while the request was on its way. */
const STALE_CONNECTION = new Set(['ECONNRESET', 'EPIPE'])

export class Exchange {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #options: ExchangeOptions
  #originRequest: ClientRequest | undefined
  #watch: ClientWatch | undefined
  #connectDeadline: NodeJS.Timeout | undefined
  #isConnected = false
  #isAnswering = false
  #isRepeated = false
  #isWarned = false
  #isOver = false

  constructor(request: IncomingMessage, response: ServerResponse, options: ExchangeOptions) {
    this.#request = request
    this.#response = response
    this.#options = options
  }

  /** Sends the request on; everything after happens by itself, within the limits. */
  start(): void {
    const release = this.#options.origin.claim()
    if (release === undefined) {
      this.#fail('ERR_EDGE_ORIGIN_BUSY')
      return
    }
    this.#response.once('close', () => {
      release()
      this.#end()
    })
    const { limits } = this.#options
    this.#watch = new ClientWatch(this.#request, this.#response, limits, (side) => this.#clientSlow(side))
    this.#send(false)
  }

  #send(fresh: boolean): void {
    const { origin, path, fields, framing, limits } = this.#options
    const request = this.#request
    const originRequest = origin.request({ method: request.method ?? '', path, headers: fields, fresh })
    this.#originRequest = originRequest
    this.#connectDeadline = setTimeout(() => {
      const hasSocket = originRequest.socket !== null
      this.#fail(hasSocket ? 'ERR_EDGE_ORIGIN_CONNECT_TIMEOUT' : 'ERR_EDGE_ORIGIN_BUSY')
    }, limits.originConnectMs)
    originRequest
      .once('socket', (socket) => {
        const connected = (): void => {
          this.#isConnected = true
          clearTimeout(this.#connectDeadline)
        }
        if (originRequest.reusedSocket) connected()
        else socket.once(origin.connectedEvent, connected)
      })
      .once('timeout', () => this.#idle())
      .on('information', ({ statusCode, rawHeaders }) => this.#inform(statusCode, rawHeaders))
      .once('upgrade', (_answer, socket) => {
        // Never asked for: Upgrade does not cross the edge.
        socket.destroy()
        this.#fail('ERR_EDGE_ORIGIN_BROKEN')
      })
      .once('response', (originResponse) => this.#answer(originResponse))
      .on('error', (error) => this.#originFailed(originRequest, error))

    if (framing.kind === 'none') originRequest.end()
    else this.#upload(originRequest)
  }

  /** Not `pipeline`: it would destroy the client's connection, and with it the origin's early answer. */
  #upload(originRequest: ClientRequest): void {
    const request = this.#request
    request.once('end', () => {
      // In one call: each replaces what the one before it has set.
      originRequest.addTrailers(trailerFields(request.rawTrailers))
    })
    request.pipe(originRequest)
  }

  /** RFC 9110 §15.2: an interim response goes on, unless the client is too old to know it. */
  #inform(status: number, rawHeaders: readonly string[]): void {
    if (this.#isOver || this.#isAnswering || this.#request.httpVersion === '1.0') return
    if (status !== 100) writeInterim(this.#response, status, interimFields(rawHeaders))
    else if (this.#request.headers.expect !== undefined) {
      this.#response.writeContinue()
      this.#watch?.continued()
    }
  }

  #answer(originResponse: IncomingMessage): void {
    const response = this.#response
    if (this.#isOver || response.destroyed) {
      originResponse.destroy()
      return
    }
    clearTimeout(this.#connectDeadline)
    // Those below 200 come as 'information', all but a 101 without Upgrade: no answer to a request that asked for none.
    if ((originResponse.statusCode ?? 0) < 200) {
      originResponse.destroy()
      this.#fail('ERR_EDGE_ORIGIN_BROKEN')
      return
    }
    this.#isAnswering = true
    try {
      const fields = responseFields(originResponse.rawHeaders)
      response.writeHead(originResponse.statusCode ?? 0, originResponse.statusMessage ?? '', fields)
    } catch (error) {
      originResponse.destroy()
      this.#fail('ERR_EDGE_ORIGIN_BROKEN', error)
      return
    }
    originResponse.once('end', () => {
      const trailers = trailerFields(originResponse.rawTrailers)
      if (trailers.length > 0) response.addTrailers(trailers)
    })
    pipeline(originResponse, response, (error) => {
      // ERR_STREAM_PREMATURE_CLOSE is the client's leaving; whoever leaves needs no warning.
      if (error && error.code !== 'ERR_STREAM_PREMATURE_CLOSE') {
        this.#warn('ERR_EDGE_ORIGIN_BROKEN', error)
      }
    })
  }

  #originFailed(originRequest: ClientRequest, error: NodeJS.ErrnoException): void {
    // An error of a request that was replaced or destroyed by us is no news.
    if (this.#isOver || originRequest !== this.#originRequest) return
    if (this.#isAnswering) {
      // The upload is cut short; what has begun to come back counts, and ends or breaks by itself.
      this.#dropUpload()
      return
    }
    if (this.#mayRepeat(originRequest, error)) {
      this.#isRepeated = true
      this.#isConnected = false
      clearTimeout(this.#connectDeadline)
      this.#send(true)
      return
    }
    this.#fail(this.#isConnected ? 'ERR_EDGE_ORIGIN_BROKEN' : 'ERR_EDGE_ORIGIN_UNREACHABLE', error)
  }

  /** RFC 9112 §9.3.1: a request on a kept connection may meet its closing; that is nobody's failure. */
  #mayRepeat(originRequest: ClientRequest, error: NodeJS.ErrnoException): boolean {
    return (
      !this.#isRepeated &&
      originRequest.reusedSocket &&
      STALE_CONNECTION.has(error.code ?? '') &&
      this.#options.framing.kind === 'none' &&
      IDEMPOTENT.has(this.#request.method ?? '')
    )
  }

  /** No byte to or from the origin for `originIdleMs`: whose turn was it? */
  #idle(): void {
    if (this.#isOver) return
    const isClients = this.#watch?.isUploadAwaited === true || this.#watch?.isDownloadAwaited === true
    this.#fail(isClients ? 'ERR_EDGE_CLIENT_SLOW' : 'ERR_EDGE_ORIGIN_TIMEOUT')
  }

  #clientSlow(direction: Direction): void {
    this.#fail('ERR_EDGE_CLIENT_SLOW', new Error(direction))
    if (direction === 'download') this.#response.destroy()
  }

  /** Ends the exchange with an error of ours: as a response if none has begun, else by breaking the connection. */
  #fail(code: GatewayErrorCode, cause?: unknown): void {
    if (this.#isOver) return
    this.#warn(code, cause)
    this.#isOver = true
    clearTimeout(this.#connectDeadline)
    this.#dropUpload()
    this.#originRequest?.destroy()
    answerError(this.#response, code)
  }

  /** The response is out, or its connection is gone. */
  #end(): void {
    this.#isOver = true
    this.#watch?.stop()
    clearTimeout(this.#connectDeadline)
    if (this.#response.writableFinished && this.#request.complete) return
    this.#dropUpload()
    this.#originRequest?.destroy()
  }

  #dropUpload(): void {
    this.#watch?.ignoreUpload()
    if (this.#originRequest !== undefined) this.#request.unpipe(this.#originRequest)
    this.#request.resume()
  }

  #warn(code: GatewayErrorCode, cause?: unknown): void {
    if (this.#isWarned) return
    this.#isWarned = true
    const { log, logClient, logFields, origin } = this.#options
    const reason = cause instanceof Error ? `: ${cause.message}` : ''
    if (code === 'ERR_EDGE_CLIENT_SLOW') {
      const peer = this.#request.socket.remoteAddress ?? 'a client that has gone'
      logClient('info', `${logFields['host']}: ${peer}: ${code}${reason}`, { ...logFields, code, peer })
      return
    }
    const text = `${logFields['host']}: origin ${origin.name}: ${code}${reason}`
    log('warning', text, { ...logFields, code, origin: origin.name })
  }
}

const EARLY_HINTS = 103
const writesAnyInterim = 'writeInformation' in ServerResponse.prototype

/** Before `writeInformation` (Node 26) there was a way for the links of early hints, and none for the rest. */
function writeInterim(response: ServerResponse, status: number, fields: string[]): void {
  if (writesAnyInterim) {
    response.writeInformation(status, fields)
    return
  }
  const link = fields.filter((_, at) => at % 2 === 1 && fields[at - 1]?.toLowerCase() === 'link')
  if (status === EARLY_HINTS && link.length > 0) response.writeEarlyHints({ link })
}

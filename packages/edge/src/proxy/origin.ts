// One origin: where it is, the pool of connections to it, and how much may wait for it.
import { Agent, type ClientRequest, type RequestOptions, request as plainRequest } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import { isIP } from 'node:net'
import { EdgeError } from '../errors.ts'
import type { EdgeLimits } from '../limits.ts'

export interface OriginRequest {
  readonly method: string
  readonly path: string
  readonly headers: readonly string[]
  /** Not from the pool: for the one repeat after a pooled connection turned out to be closed. */
  readonly fresh: boolean
}

export class Origin {
  /** As operators write it: `http://127.0.0.1:8080`. */
  readonly name: string
  /** What a new connection emits when it can be used. */
  readonly connectedEvent: 'connect' | 'secureConnect'
  readonly #target: RequestOptions
  readonly #agent: Agent
  readonly #isTls: boolean
  readonly #limit: number
  #active = 0

  /** @throws {EdgeError} ERR_EDGE_ORIGIN_URL unless `url` is http: or https: and nothing but scheme, host and port. */
  constructor(url: URL, limits: EdgeLimits) {
    if (url.protocol !== 'http:' && url.protocol !== 'https:')
      throw unusable(url, 'scheme is not http or https')
    if (url.username !== '' || url.password !== '') throw unusable(url, 'it names a user')
    if (url.pathname !== '/' || url.search !== '' || url.hash !== '') throw unusable(url, 'it has a path')
    this.name = url.origin
    this.#isTls = url.protocol === 'https:'
    this.connectedEvent = this.#isTls ? 'secureConnect' : 'connect'
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
    this.#target = {
      host,
      port: url.port === '' ? (this.#isTls ? 443 : 80) : Number(url.port),
      maxHeaderSize: limits.maxHeaderBytes,
      insecureHTTPParser: false,
      timeout: limits.originIdleMs,
      // The name in the origin's own certificate, not the public one of Host.
      ...(this.#isTls ? { servername: isIP(host) === 0 ? host : '' } : {}),
    }
    const AgentOfScheme = this.#isTls ? TlsAgent : Agent
    this.#agent = new AgentOfScheme({
      keepAlive: true,
      maxSockets: limits.originSockets,
      maxFreeSockets: limits.originSockets,
      timeout: limits.originPoolMs,
    })
    this.#limit = limits.originSockets + limits.originQueue
  }

  /** Takes one of the places for a request; call the result once to give it back. Undefined: all are taken. */
  claim(): (() => void) | undefined {
    if (this.#active >= this.#limit) return undefined
    this.#active++
    return () => {
      this.#active--
    }
  }

  /** Starts a request; the header section leaves as soon as there is a connection. */
  request({ method, path, headers, fresh }: OriginRequest): ClientRequest {
    const send = this.#isTls ? tlsRequest : plainRequest
    const request = send({ ...this.#target, method, path, headers, agent: fresh ? false : this.#agent })
    // Bounded by maxHeaderSize; the default limit by count would drop fields silently.
    request.maxHeadersCount = 0
    return request
  }

  /** Keeps no connection any more; requests under way finish. */
  retire(): void {
    this.#agent.maxFreeSockets = 0
    for (const sockets of Object.values(this.#agent.freeSockets))
      for (const socket of sockets ?? []) socket.destroy()
  }

  /** Closes pooled connections; requests under way lose theirs. */
  close(): void {
    this.#agent.destroy()
  }
}

function unusable(url: URL, reason: string): EdgeError {
  return new EdgeError('ERR_EDGE_ORIGIN_URL', { detail: `${url.protocol}//${url.host}: ${reason}` })
}

// The key servers of an edge: one client each, and which of them is asked for which key.
//
// The choice is the simplest that survives the loss of one: in the order of the configuration, connected ones first,
// the next one when one fails. Choosing by latency belongs behind `requesterOf` and nowhere else.
import {
  ClientError,
  type ClientErrorCode,
  createKeyServerClient,
  createKeylessSigner,
  DEFAULT_PORT,
  type KeyServerAddress,
  type KeyServerClient,
  type RemoteKey,
  type Requester,
} from '@latchkey/client'
import { createLogger, type Logger } from '@latchkey/core'
import type { Signer } from '@latchkey/tls'

/** Where a key server is. */
export type KeyServerLocation = Pick<KeyServerAddress, 'host' | 'port' | 'serverName'>

/** How the edge proves itself to key servers, and whom it believes. PEM. */
export interface KeyServerTls {
  readonly ca: string
  /** The edge's own client certificate, its chain behind it. */
  readonly cert: string
  readonly key: string
}

/** One key the edge may ask for. */
export interface KeyRoute {
  /** SHA-256 of the SubjectPublicKeyInfo, lower-case hex. */
  readonly keyIdHex: string
  readonly ski: Uint8Array
  /** In order of preference, at least one. */
  readonly keyServers: readonly KeyServerLocation[]
}

/** The clients for a set of routes: made anew on a reload, sharing the connections that stay. */
export class KeyServers implements AsyncDisposable {
  readonly #tls: KeyServerTls
  readonly #logger: Logger
  #clients = new Map<string, KeyServerClient>()
  /** By key id. */
  #keys = new Map<string, RemoteKey>()
  /** By SKI in hex. */
  #requesters = new Map<string, Requester>()

  constructor(tls: KeyServerTls, logger: Logger) {
    this.#tls = tls
    this.#logger = logger
  }

  /** Asks whatever the routes of the moment say. */
  readonly signer: Signer = createKeylessSigner({
    keys: (keyIdHex) => this.#keys.get(keyIdHex),
    pick: (ski) => this.#requesterOf(ski),
  })

  /**
   * Replaces all routes at once; dials key servers that are new and lets go of those that are gone, once their running
   * requests are done. A key server that cannot be reached now is a warning: it may come back, its clients redial.
   *
   * @returns when new connections stand or have failed.
   * @throws {Error} of Node if a certificate or key cannot be used, and then nothing has changed.
   */
  async route(routes: readonly KeyRoute[]): Promise<void> {
    const before = this.#clients
    const clients = new Map<string, KeyServerClient>()
    const clientOf = (location: KeyServerLocation): KeyServerClient => {
      const key = JSON.stringify([location.host, location.port, location.serverName])
      const client = clients.get(key) ?? before.get(key) ?? this.#connect(location)
      clients.set(key, client)
      return client
    }
    const requesters = new Map(
      routes.map(({ ski, keyServers }) => [hex(ski), firstThatAnswers(keyServers.map(clientOf), monotonic)]),
    )
    this.#keys = new Map(routes.map(({ keyIdHex, ski }) => [keyIdHex, { ski }]))
    this.#requesters = requesters
    this.#clients = clients
    const gone = [...before].filter(([key]) => !clients.has(key)).map(([, client]) => client)
    const fresh = [...clients].filter(([key]) => !before.has(key)).map(([, client]) => client)
    await Promise.all([
      ...gone.map((client) => client[Symbol.asyncDispose]()),
      ...fresh.map((client) => this.#warm(client)),
    ])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client[Symbol.asyncDispose]()))
  }

  #requesterOf(ski: Uint8Array): Requester {
    const requester = this.#requesters.get(hex(ski))
    if (requester === undefined) throw new ClientError('ERR_CLIENT_UNKNOWN_KEY', { detail: hex(ski) })
    return requester
  }

  #connect(location: KeyServerLocation): KeyServerClient {
    const { host, port = DEFAULT_PORT } = location
    return createKeyServerClient({
      ...location,
      ...this.#tls,
      logger: spelledOut(this.#logger, `${host}:${port}`),
    })
  }

  /** So that the first visitor does not wait for a TLS handshake with the key server. */
  async #warm(client: KeyServerClient): Promise<void> {
    try {
      const { rttMs } = await client.ping()
      this.#logger.info(`key server ${client.address} answers in ${rttMs.toFixed(1)} ms`, {
        keyServer: client.address,
        rttMs,
      })
    } catch (error) {
      // What the connection itself says has been said by the client, and nobody warms what is being closed.
      if (error instanceof ClientError && QUIET.has(error.code)) return
      const reason = error instanceof Error ? error.message : String(error)
      this.#logger.warning(`key server ${client.address} does not answer: ${reason}`, {
        keyServer: client.address,
      })
    }
  }
}

/**
 * Asks one after the other until one answers. Each but the last gets half of what is left of the time, so that one
 * that hangs does not use it all up.
 *
 * @param clients at least one.
 * @param clock milliseconds that never go back.
 */
export function firstThatAnswers(
  clients: readonly Pick<KeyServerClient, 'request' | 'state'>[],
  clock: () => number,
): Requester {
  return {
    async request(operation, { timeoutMs, ...options } = {}) {
      const end = timeoutMs === undefined ? undefined : clock() + timeoutMs
      const order = [...clients].sort((a, b) => rank(a) - rank(b))
      const last = order.length - 1
      for (const [index, client] of order.entries()) {
        const left = end === undefined ? undefined : end - clock()
        const share = left === undefined || index === last ? left : left / 2
        try {
          return await client.request(operation, { ...options, timeoutMs: share })
        } catch (error) {
          // Also where it answered "no such key": the next one may have it, and signing twice harms nobody.
          if (index === last || isOver(error)) throw error
        }
      }
      throw new ClientError('ERR_CLIENT_UNKNOWN_KEY', { detail: 'no key server is configured' })
    },
  }
}

function rank({ state }: Pick<KeyServerClient, 'state'>): number {
  return state === 'open' ? 0 : 1
}

const QUIET: ReadonlySet<ClientErrorCode> = new Set(['ERR_CLIENT_CONNECT', 'ERR_CLIENT_CLOSED'])

/** Text lines carry no fields: which key server, and why, has to be in the text. */
function spelledOut(logger: Logger, address: string): Logger {
  return createLogger(({ level, text, fields }) => {
    const { reason } = fields
    logger[level](`${address}: ${text}${reason === undefined ? '' : `: ${reason}`}`, fields)
  }, 'debug')
}

/** Nobody waits any more. */
function isOver(error: unknown): boolean {
  return (
    error instanceof ClientError &&
    (error.code === 'ERR_CLIENT_ABORTED' || error.code === 'ERR_CLIENT_CLOSED')
  )
}

function monotonic(): number {
  return performance.now()
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

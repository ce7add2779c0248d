// The key servers of an edge: one client each, and which of them is asked for which key.
//
// Keys that are at the same key servers share one network: what is seen of a server by one of them serves the others.
import {
  ClientError,
  type ClientErrorCode,
  createKeyServerClient,
  createKeylessSigner,
  DEFAULT_PORT,
  type KeyServerAddress,
  type KeyServerClient,
  KeyServerNetwork,
  type NetworkHealth,
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
  /** At least one. */
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
  #requesters = new Map<string, KeyServerNetwork>()
  /** By the places of their servers. */
  #networks = new Map<string, KeyServerNetwork>()

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
    const networks = new Map<string, KeyServerNetwork>()
    const networkOf = (locations: readonly KeyServerLocation[]): KeyServerNetwork => {
      const place = locations.map((each) => JSON.stringify([each.host, each.port, each.serverName])).join(' ')
      const network =
        networks.get(place) ??
        this.#networks.get(place) ??
        new KeyServerNetwork({ clients: locations.map(clientOf), logger: this.#logger })
      networks.set(place, network)
      return network
    }
    // The clients first, also of networks that stay: a client that is in none is let go of.
    for (const { keyServers } of routes) keyServers.forEach(clientOf)
    const requesters = new Map(routes.map(({ ski, keyServers }) => [hex(ski), networkOf(keyServers)]))
    this.#keys = new Map(routes.map(({ keyIdHex, ski }) => [keyIdHex, { ski }]))
    this.#requesters = requesters
    for (const [place, network] of this.#networks) if (!networks.has(place)) network[Symbol.dispose]()
    this.#networks = networks
    this.#clients = clients
    const gone = [...before].filter(([key]) => !clients.has(key)).map(([, client]) => client)
    const fresh = [...clients].filter(([key]) => !before.has(key)).map(([, client]) => client)
    await Promise.all([
      ...gone.map((client) => client[Symbol.asyncDispose]()),
      ...fresh.map((client) => this.#warm(client)),
    ])
  }

  /** What is seen of each key server, by the keys that are there. */
  health(): NetworkHealth[] {
    return [...this.#networks.values()].flatMap((network) => network.health())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const network of this.#networks.values()) network[Symbol.dispose]()
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

const QUIET: ReadonlySet<ClientErrorCode> = new Set(['ERR_CLIENT_CONNECT', 'ERR_CLIENT_CLOSED'])

/** Text lines carry no fields: which key server, and why, has to be in the text. */
function spelledOut(logger: Logger, address: string): Logger {
  return createLogger(({ level, text, fields }) => {
    const { reason } = fields
    logger[level](`${address}: ${text}${reason === undefined ? '' : `: ${reason}`}`, fields)
  }, 'debug')
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

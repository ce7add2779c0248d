// An edge: certificates without their keys, key servers that have them, origins behind.
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { NetworkHealth } from '@latchkey/client'
import { type Logger, silentLogger } from '@latchkey/core'
import { type CertificateStore, createCertificateStore, type Credential, loadCredential } from '@latchkey/tls'
import { EdgeError } from './errors.ts'
import { HostTable } from './host-table.ts'
import { HttpsFront } from './https-front.ts'
import { KeyAbilities } from './key-abilities.ts'
import { type KeyRoute, type KeyServerLocation, KeyServers, type KeyServerTls } from './key-servers.ts'
import { DEFAULT_LIMITS, type EdgeLimits } from './limits.ts'
import { Origin } from './proxy/origin.ts'
import type { Site } from './proxy/proxy.ts'
import { subjectKeyIdentifier } from './ski.ts'

/** One entry of the configuration: names, and what stands behind them. */
export interface EdgeHost {
  /** Exact, or with one leading wildcard label: `*.example.com`. Each name belongs to one host. */
  readonly serverNames: readonly string[]
  /** PEM chains, leaf first; in order of preference, say ECDSA before RSA. No private keys. */
  readonly certificateChains: readonly string[]
  /** Who has the keys of these certificates: the nearest that answers is asked. */
  readonly keyServers: readonly KeyServerLocation[]
  /** `http:` or `https:`, host and port, nothing else. */
  readonly origin: URL
}

export interface EdgeOptions {
  readonly hosts: readonly EdgeHost[]
  readonly keyServerTls: KeyServerTls
  /** Default 127.0.0.1, port 8443. */
  readonly listen?: { readonly host?: string; readonly port?: number }
  readonly logger?: Logger
  readonly limits?: Partial<EdgeLimits>
}

const DEFAULT_LISTEN = { host: '127.0.0.1', port: 8443 }
/** Long enough for what a browser waits for, shorter than the 30 s after which container runtimes kill. */
const DEFAULT_DRAIN_MS = 20_000

/**
 * Prepares an edge; {@link Edge.listen} starts it.
 *
 * @throws {TlsError} ERR_TLS_CREDENTIAL for a chain that cannot be served.
 * @throws {EdgeError} ERR_EDGE_HOST, ERR_EDGE_ORIGIN_URL.
 *
 * @example
 * await using edge = createEdge({
 *   hosts: [{ serverNames: ['example.com'], certificateChains: [chain], keyServers: [{ host: 'keys.internal' }], origin }],
 *   keyServerTls: { ca, cert, key },
 * })
 * await edge.listen()
 */
export function createEdge(options: EdgeOptions): Edge {
  return new Edge(options)
}

/** What a reload replaces as a whole. */
interface HostState {
  readonly served: readonly ServedHost[]
  readonly certificates: CertificateStore
  readonly sites: HostTable<Site>
  readonly routes: readonly KeyRoute[]
  /** By URL. */
  readonly origins: ReadonlyMap<string, Origin>
}

interface ServedHost {
  readonly serverNames: readonly string[]
  readonly credentials: readonly Credential[]
  /** PEM; of each credential. */
  readonly chains: readonly string[]
}

/** So long a start waits to hear what keys can do; then it goes on, and learns it later. */
const ABILITIES_WAIT_MS = 2000

export class Edge implements AsyncDisposable {
  readonly #listen: { host: string; port: number }
  readonly #limits: EdgeLimits
  readonly #keyServers: KeyServers
  readonly #front: HttpsFront
  readonly #abilities: KeyAbilities
  #state: HostState

  constructor({ hosts, keyServerTls, listen, logger = silentLogger, limits }: EdgeOptions) {
    this.#listen = { ...DEFAULT_LISTEN, ...listen }
    this.#limits = { ...DEFAULT_LIMITS, ...limits }
    this.#state = hostState(hosts, this.#limits, new Map())
    this.#keyServers = new KeyServers(keyServerTls, logger)
    this.#abilities = new KeyAbilities({
      signer: this.#keyServers.signer,
      logger,
      onChange: () => {
        const { served } = this.#state
        this.#state = { ...this.#state, certificates: this.#certificatesOf(served) }
      },
    })
    this.#front = new HttpsFront({
      certificates: { select: (hello) => this.#state.certificates.select(hello) },
      signer: this.#keyServers.signer,
      sites: () => this.#state.sites,
      limits: this.#limits,
      logger,
    })
  }

  /**
   * Starts to accept connections, with those to the key servers made or given up for now.
   *
   * @throws the error of `net.Server.listen`; of Node if the client certificate or key cannot be used.
   */
  async listen(): Promise<AddressInfo> {
    await this.#keyServers.route(this.#state.routes)
    const known = this.#abilities.watch(this.#state.served.flatMap(({ credentials }) => credentials))
    await Promise.race([known, delay(ABILITIES_WAIT_MS, undefined, { ref: false })])
    return this.#front.listen(this.#listen)
  }

  /** Where it listens; undefined before and after. */
  address(): AddressInfo | undefined {
    return this.#front.address()
  }

  /** How each key server is seen: how far it is, how busy, whether it is left out at the moment. */
  keyServers(): NetworkHealth[] {
    return this.#keyServers.health()
  }

  /** Requests under way. */
  get active(): number {
    return this.#front.active
  }

  /**
   * Serves `hosts` from now on: new handshakes and requests see all of the change, those under way none of it.
   *
   * @throws as {@link createEdge}, and then nothing has changed.
   */
  async reconfigure(hosts: readonly EdgeHost[]): Promise<void> {
    const before = this.#state
    const next = hostState(hosts, this.#limits, before.origins)
    // Routes first: a certificate must not be offered before its key can be asked for.
    const routed = this.#keyServers.route(next.routes)
    this.#state = { ...next, certificates: this.#certificatesOf(next.served) }
    for (const [url, origin] of before.origins) if (!next.origins.has(url)) origin.retire()
    await routed
    const known = this.#abilities.watch(next.served.flatMap(({ credentials }) => credentials))
    await Promise.race([known, delay(ABILITIES_WAIT_MS, undefined, { ref: false })])
  }

  /** Certificates are offered for what the homes of their keys can sign. */
  #certificatesOf(served: readonly ServedHost[]): CertificateStore {
    return createCertificateStore({
      hosts: served.map(({ serverNames, credentials, chains }) => ({
        serverNames,
        credentials: credentials.map((credential, index) => {
          const schemes = this.#abilities.schemesOf(credential.keyId)
          return schemes === undefined
            ? credential
            : loadCredential({ chain: chains[index] as string, schemes })
        }),
      })),
    })
  }

  /** Accepts nothing more, gives requests under way `drainMs` (default 20,000) to finish, then ends everything. */
  async close({ drainMs = DEFAULT_DRAIN_MS }: { drainMs?: number } = {}): Promise<void> {
    this.#abilities[Symbol.dispose]()
    await this.#front.close({ drainMs })
    for (const origin of this.#state.origins.values()) origin.close()
    await this.#keyServers[Symbol.asyncDispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

function hostState(
  hosts: readonly EdgeHost[],
  limits: EdgeLimits,
  known: ReadonlyMap<string, Origin>,
): HostState {
  const sites = new HostTable<Site>()
  const origins = new Map<string, Origin>()
  const served: ServedHost[] = []
  const routes = new Map<string, KeyRoute>()
  for (const { serverNames, certificateChains, keyServers, origin: url } of hosts) {
    const origin = origins.get(url.href) ?? known.get(url.href) ?? new Origin(url, limits)
    origins.set(url.href, origin)
    sites.add(serverNames, { origin })
    if (keyServers.length === 0) throw refused(serverNames, 'no key server')
    if (certificateChains.length === 0) throw refused(serverNames, 'no certificate')
    const credentials = certificateChains.map((chain) => loadCredential({ chain }))
    for (const credential of credentials) {
      const uncovered = serverNames.filter((name) => !coversName(credential.names, name))
      if (uncovered.length > 0)
        throw refused(uncovered, `not in the certificate for ${credential.names.join(', ')}`)
      addRoute(routes, credential, keyServers)
    }
    served.push({
      serverNames: serverNames.map((name) => name.toLowerCase()),
      credentials,
      chains: certificateChains,
    })
  }
  return {
    served,
    certificates: createCertificateStore({ hosts: served }),
    sites,
    routes: [...routes.values()],
    origins,
  }
}

/** Two hosts may share a key: whoever has it for one has it for the other. */
function addRoute(
  routes: Map<string, KeyRoute>,
  { keyId, spki }: Credential,
  keyServers: readonly KeyServerLocation[],
): void {
  const keyIdHex = Buffer.from(keyId).toString('hex')
  const earlier = routes.get(keyIdHex)
  const all = [...(earlier?.keyServers ?? []), ...keyServers]
  const unlike = all.filter((one, index) => all.findIndex((other) => isSame(one, other)) === index)
  routes.set(keyIdHex, { keyIdHex, ski: earlier?.ski ?? subjectKeyIdentifier(spki), keyServers: unlike })
}

function isSame(one: KeyServerLocation, other: KeyServerLocation): boolean {
  return one.host === other.host && one.port === other.port && one.serverName === other.serverName
}

/** Whether a certificate for `names` is good for `serverName`; a wildcard is covered by the same wildcard only. */
export function coversName(names: readonly string[], serverName: string): boolean {
  const wanted = serverName.toLowerCase()
  return names.includes(wanted) || names.includes(`*${wanted.slice(wanted.indexOf('.') >>> 0)}`)
}

function refused(names: readonly string[], reason: string): EdgeError {
  return new EdgeError('ERR_EDGE_HOST', { detail: `${names.join(', ')}: ${reason}` })
}

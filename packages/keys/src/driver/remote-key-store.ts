// A DriverStore over keys that are each known by a URI: what the drivers of cloud services have in common.
import { KeysError } from '../errors.ts'
import type { PreparedReload, ReloadSummary, Share } from '../file-store.ts'
import type { PrivateKey } from '../private-key.ts'
import { type Clock, type Logger, silentLogger } from '@latchkey/core'
import type { DriverEntry, DriverOptions, DriverStore, KeyHomeHealth } from './driver.ts'
import { proveKey } from './key-proof.ts'
import { KeyTable } from './key-table.ts'
import { RemoteCalls } from './remote-calls.ts'
import { type RemoteHome, RemoteKey, shortcoming } from './remote-key.ts'

/** What a driver knows of its service. */
export interface RemoteService<Name> {
  /** For limits that an entry does not set. */
  readonly defaults: {
    readonly maxInFlight: number
    readonly maxPerSecond: number
    readonly timeoutMs: number
  }
  /** @throws {KeysError} ERR_KEYS_URI */
  readUri(uri: string): Name
  /** The name without secrets, as errors, logs and metrics show it. */
  sourceOf(name: Name): string
  /** Asks the service for the public half and what it can do. @throws {KeysError} and nothing else. */
  open(name: Name, calls: RemoteCalls): Promise<RemoteHome>
  /** Ends its connections. */
  close?(): void
}

/** As many wait as are under way, and then some: what is over is better told at once. */
const QUEUED_PER_IN_FLIGHT = 8
/** Keys asked for at a time when they are looked up. */
const LOOKUPS = 8

interface Entry<Name> {
  readonly name: Name
  readonly calls: RemoteCalls
}

export class RemoteKeyStore<Name> implements DriverStore {
  readonly #service: RemoteService<Name>
  readonly #entries: readonly Entry<Name>[]
  readonly #logger: Logger
  readonly #share: Share
  readonly #closing = new AbortController()
  readonly #keys = new KeyTable<RemoteKey>()

  private constructor(
    service: RemoteService<Name>,
    entries: readonly DriverEntry[],
    { logger = silentLogger, share = { index: 0, count: 1 }, processes = 1, observer }: DriverOptions,
    clock: Clock | undefined,
  ) {
    this.#service = service
    this.#logger = logger
    this.#share = share
    this.#entries = entries.map(({ uri, ...limits }) => {
      const name = service.readUri(uri)
      const { maxInFlight, maxPerSecond, timeoutMs } = { ...service.defaults, ...defined(limits) }
      const ownInFlight = Math.max(1, Math.floor(maxInFlight / processes))
      const calls = new RemoteCalls({
        source: service.sourceOf(name),
        timeoutMs,
        maxInFlight: ownInFlight,
        maxPerSecond: maxPerSecond / processes,
        maxQueued: QUEUED_PER_IN_FLIGHT * ownInFlight,
        observer,
        ...(clock === undefined ? {} : { clock }),
      })
      return { name, calls }
    })
  }

  /** @throws {KeysError} of the first entry that cannot be served. */
  static async open<Name>(
    service: RemoteService<Name>,
    entries: readonly DriverEntry[],
    options: DriverOptions,
    clock?: Clock,
  ): Promise<RemoteKeyStore<Name>> {
    await using stack = new AsyncDisposableStack()
    const store = stack.use(new RemoteKeyStore(service, entries, options, clock))
    store.#keys.replace(await store.#load(options.signal))
    stack.move()
    return store
  }

  find(ski: Uint8Array): RemoteKey | undefined {
    return this.#keys.find(ski)
  }

  list(): IterableIterator<RemoteKey> {
    return this.#keys.list()
  }

  get size(): number {
    return this.#keys.size
  }

  health(): KeyHomeHealth[] {
    return this.#entries.map(({ calls }) => {
      const health = calls.health()
      const key = [...this.#keys.list()].find(({ source }) => source === calls.source)
      const missing = key === undefined ? undefined : shortcoming(key)
      return health.state === 'up' && missing !== undefined
        ? { ...health, state: 'degraded', detail: missing }
        : health
    })
  }

  async prepareReload(): Promise<PreparedReload> {
    const { signal } = this.#closing
    const next = await this.#load(signal)
    return {
      commit: (): ReloadSummary => {
        signal.throwIfAborted()
        return this.#keys.replace(next)
      },
      [Symbol.dispose]: () => {},
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new KeysError('ERR_KEYS_DISPOSED'))
    this.#keys.replace([])
    this.#service.close?.()
  }

  async #load(signal: AbortSignal | undefined): Promise<RemoteKey[]> {
    const keys: RemoteKey[] = []
    const left = this.#entries.entries()
    const worker = async (): Promise<void> => {
      for (const [index, entry] of left) {
        signal?.throwIfAborted()
        keys[index] = await this.#loadOne(entry, index % this.#share.count === this.#share.index, signal)
      }
    }
    await Promise.all(Array.from({ length: LOOKUPS }, worker))
    return keys
  }

  async #loadOne({ name, calls }: Entry<Name>, isProved: boolean, signal?: AbortSignal): Promise<RemoteKey> {
    this.#logger.info(`loading ${calls.source}...`, { path: calls.source })
    const key = new RemoteKey(await this.#service.open(name, calls), calls)
    if (isProved) await proveKey(key, signal)
    const missing = shortcoming(key)
    if (missing !== undefined) this.#logger.warning(`${key.source}: ${missing}`, { path: key.source })
    logSigner(this.#logger, key)
    return key
  }
}

/** The line that tells which key is served under which SKI. */
export function logSigner(logger: Logger, { ski: bytes, source }: Pick<PrivateKey, 'ski' | 'source'>): void {
  const ski = Buffer.from(bytes).toString('hex')
  logger.debug(`add signer with SKI: ${ski} (https://crt.sh/?ski=${ski})`, { path: source, ski })
}

/** Without the members that are undefined. */
function defined<T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

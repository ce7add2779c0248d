// A DriverStore over the tokens that URIs name: each token is opened once, whatever number of keys are used on it.
import type { KeyObject } from 'node:crypto'
import { type Logger, silentLogger } from '@latchkey/core'
import { KeysError, type PreparedReload, type ReloadSummary } from '@latchkey/keys'
import {
  type DriverEntry,
  type DriverOptions,
  type DriverStore,
  type KeyHomeHealth,
  KeyTable,
  logSigner,
  shortcoming,
} from '@latchkey/keys/driver'
import { CK, type Handle } from './cryptoki.ts'
import { hasRawDecryption, signingMechanisms } from './mechanisms.ts'
import { modulePath } from './module-path.ts'
import { Pkcs11Module } from './module.ts'
import { findObjects, flag, MAX_OBJECTS, named } from './objects.ts'
import { readPin } from './pin.ts'
import { type KeyObjectName, objectName, PublicHalves, publicKeyFile } from './public-halves.ts'
import { findSlot, label } from './slots.ts'
import { TokenKey } from './token-key.ts'
import { findOutPaddings, isProven } from './trial.ts'
import { Token } from './token.ts'
import { type Pkcs11Uri, readPkcs11Uri } from './uri.ts'

const MAX_SESSIONS = 16
/** Many more than sessions: a handshake that waits a little is better than one that fails. */
const QUEUED = 1024
const TIMEOUT_MS = 5000
const LOAD_TIMEOUT_MS = 120_000
const PROGRESS_MS = 2000
const MAX_NAMED = 8

interface Wanted {
  readonly uri: Pkcs11Uri
  readonly timeoutMs: number
  readonly maxSessions: number
}

interface Home {
  readonly token: Token
  readonly wanted: readonly Wanted[]
}

/** See {@link KeyDriver}. */
export function openKeyStore(entries: readonly DriverEntry[], options: DriverOptions): Promise<Pkcs11Store> {
  return Pkcs11Store.open(entries, options)
}

export class Pkcs11Store implements DriverStore {
  readonly #homes: readonly Home[]
  readonly #resources: AsyncDisposableStack
  readonly #options: DriverOptions
  readonly #logger: Logger
  readonly #closing = new AbortController()
  readonly #keys = new KeyTable<TokenKey>()

  private constructor(homes: readonly Home[], resources: AsyncDisposableStack, options: DriverOptions) {
    this.#homes = homes
    this.#resources = resources
    this.#options = options
    this.#logger = options.logger ?? silentLogger
  }

  static async open(entries: readonly DriverEntry[], options: DriverOptions): Promise<Pkcs11Store> {
    await using stack = new AsyncDisposableStack()
    const homes = await openHomes(entries, options, stack)
    const store = new Pkcs11Store(homes, stack.move(), options)
    try {
      store.#keys.replace(await store.#load(options.signal))
      return store
    } catch (cause) {
      await store[Symbol.asyncDispose]()
      throw cause
    }
  }

  find(ski: Uint8Array): TokenKey | undefined {
    return this.#keys.find(ski)
  }

  list(): IterableIterator<TokenKey> {
    return this.#keys.list()
  }

  get size(): number {
    return this.#keys.size
  }

  health(): KeyHomeHealth[] {
    return this.#homes.map(({ token }) => {
      const health = token.health()
      if (health.state !== 'up') return health
      for (const key of this.#keys.list()) {
        const missing = key.token === token ? shortcoming(key) : undefined
        if (missing !== undefined)
          return { ...health, state: 'degraded', detail: `${key.source}: ${missing}` }
      }
      return health
    })
  }

  async prepareReload(): Promise<PreparedReload> {
    const { signal } = this.#closing
    signal.throwIfAborted()
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
    if (this.#closing.signal.aborted) return
    this.#closing.abort(new KeysError('ERR_KEYS_DISPOSED'))
    this.#keys.replace([])
    await this.#resources.disposeAsync()
  }

  async #load(signal: AbortSignal | undefined): Promise<TokenKey[]> {
    const deadline = AbortSignal.timeout(LOAD_TIMEOUT_MS)
    const until = signal === undefined ? deadline : AbortSignal.any([signal, deadline])
    const keys: TokenKey[] = []
    for (const home of this.#homes) keys.push(...(await this.#loadHome(home, until)))
    return keys
  }

  async #loadHome({ token, wanted }: Home, signal: AbortSignal): Promise<TokenKey[]> {
    this.#logger.info(`loading ${token.source}...`, { path: token.source })
    const found = await token.run((session) => this.#find(token, wanted, session), {
      caller: signal,
      until: performance.now() + LOAD_TIMEOUT_MS,
    })
    const keys: TokenKey[] = []
    let toldAt = performance.now()
    for (const [index, candidates] of found.entries()) {
      const key = await this.#proven(candidates, index, signal)
      if (key !== undefined) {
        keys.push(key)
        token.probe = (session) => key.probe(session)
      }
      if (performance.now() - toldAt < PROGRESS_MS) continue
      toldAt = performance.now()
      this.#logger.info(`${token.source}: ${index + 1} of ${found.length} keys`)
    }
    return keys
  }

  /** Every private key that is wanted, each once, with what may be its public half. */
  #find(token: Token, wanted: readonly Wanted[], session: Handle): Candidates[] {
    const { cryptoki, slot } = token
    const halves = new PublicHalves(cryptoki, session)
    const mechanisms = signingMechanisms(cryptoki, slot)
    const rawDecryption = hasRawDecryption(cryptoki, slot)
    const seen = new Set<string>()
    const all: Candidates[] = []
    for (const { uri, timeoutMs } of wanted) {
      const isNamed = uri.id !== undefined || uri.object !== undefined
      const handles = findObjects(cryptoki, session, named(CK.CKO_PRIVATE_KEY, uri))
      if (handles.length === 0) throw this.#notFound(token, uri, session)
      if (handles.length >= MAX_OBJECTS) throw new KeysError('ERR_KEYS_LIMIT', { path: uri.text })
      for (const handle of handles) {
        if (seen.has(handle.toString('hex'))) continue
        seen.add(handle.toString('hex'))
        const name = objectName(cryptoki, session, handle)
        const source = keySource(token.source, name)
        const publicKeys =
          uri.publicKey === undefined
            ? halves.candidates(session, handle, name)
            : [publicKeyFile(uri.publicKey)]
        const asksEachTime = flag(cryptoki, session, handle, CK.CKA_ALWAYS_AUTHENTICATE) === true
        const { env, logger, observer } = this.#options
        all.push({
          isNamed,
          source,
          canSign: flag(cryptoki, session, handle, CK.CKA_SIGN) !== false,
          publicKeys,
          key: (publicKey) =>
            new TokenKey({
              token,
              source,
              publicKey,
              name,
              handle,
              mechanisms,
              canDecryptRaw: rawDecryption && flag(cryptoki, session, handle, CK.CKA_DECRYPT) === true,
              pinForEach: asksEachTime ? () => readPin(uri, { env, logger }) : undefined,
              timeoutMs,
              observer,
            }),
        })
      }
    }
    return all
  }

  /** A key that works; undefined if it is of no use and nobody named it. @throws {KeysError} if somebody did. */
  async #proven(candidates: Candidates, index: number, signal: AbortSignal): Promise<TokenKey | undefined> {
    try {
      const key = await this.#provenOrThrow(candidates, index, signal)
      const missing = shortcoming(key)
      if (missing !== undefined) this.#logger.warning(`${key.source}: ${missing}`, { path: key.source })
      logSigner(this.#logger, key)
      return key
    } catch (cause) {
      if (candidates.isNamed || !(cause instanceof KeysError) || cause.isTransient) throw cause
      this.#logger.warning(`skipped ${cause.message}`, { path: candidates.source, code: cause.code })
      return undefined
    }
  }

  async #provenOrThrow(
    { source, canSign, publicKeys, key: make }: Candidates,
    index: number,
    signal: AbortSignal,
  ): Promise<TokenKey> {
    if (!canSign) {
      throw new KeysError('ERR_KEYS_UNSUPPORTED', {
        path: source,
        detail: 'the key was made without CKA_SIGN',
      })
    }
    const { count, index: own } = this.#options.share ?? { index: 0, count: 1 }
    for (const publicKey of publicKeys) {
      const key = make(publicKey)
      if (key.keyType === 'rsa') {
        if (await findOutPaddings(key, signal)) return key
      } else if (publicKeys.length === 1 && index % count !== own) {
        return key
      } else if (await isProven(key, signal)) {
        return key
      }
    }
    throw publicKeys.length === 0
      ? new KeysError('ERR_KEYS_PUBLIC_KEY', {
          path: source,
          detail: 'the token shows no public half of it: no public key, no certificate',
          hint: 'add &public-key=<PEM file with the public key or the certificate> to the URI',
        })
      : new KeysError('ERR_KEYS_MISMATCH', {
          path: source,
          detail: 'its signature does not verify with the public key beside it',
        })
  }

  #notFound({ cryptoki, source }: Token, uri: Pkcs11Uri, session: Handle): KeysError {
    const there = findObjects(cryptoki, session, [{ type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY }])
    const labels = there
      .slice(0, MAX_NAMED)
      .map((handle) => objectName(cryptoki, session, handle))
      .map(({ label: text, id }) => `"${text ?? ''}" (id ${id?.toString('hex') ?? 'none'})`)
    const more = there.length > MAX_NAMED ? ` and ${there.length - MAX_NAMED} more` : ''
    return new KeysError('ERR_KEYS_NOT_FOUND', {
      path: uri.text,
      found:
        there.length === 0 ? `no private key on ${source}` : `the private keys ${labels.join(', ')}${more}`,
      hint: there.length === 0 ? 'is the PIN the user PIN of this token?' : undefined,
    })
  }
}

/** A private key that was found, and what it takes to use it. */
interface Candidates {
  readonly isNamed: boolean
  readonly source: string
  readonly canSign: boolean
  readonly publicKeys: readonly KeyObject[]
  readonly key: (publicKey: KeyObject) => TokenKey
}

/** One token for all entries that name it, in whatever way. */
async function openHomes(
  entries: readonly DriverEntry[],
  options: DriverOptions,
  stack: AsyncDisposableStack,
): Promise<Home[]> {
  const places = new Map<string, { readonly module: Pkcs11Module; readonly wanted: Wanted[] }>()
  for (const entry of entries) {
    const uri = readPkcs11Uri(entry.uri)
    const module = stack.use(Pkcs11Module.open(modulePath(uri)))
    const slot = findSlot(module, uri, uri.text)
    const place = `${module.path} ${slot.toString('hex')}`
    const { wanted } = getOrInsert(places, place, () => ({ module, wanted: [] }))
    wanted.push({
      uri,
      timeoutMs: entry.timeoutMs ?? TIMEOUT_MS,
      maxSessions: entry.maxInFlight ?? uri.maxSessions ?? MAX_SESSIONS,
    })
  }
  const homes: Home[] = []
  for (const { module, wanted } of places.values()) {
    homes.push({ token: stack.use(await openToken(module, wanted, options)), wanted })
  }
  return homes
}

function openToken(
  module: Pkcs11Module,
  wanted: readonly Wanted[],
  { env, logger, processes = 1, observer, isAttended }: DriverOptions,
): Promise<Token> {
  const [{ uri: first } = never()] = wanted
  const withPin =
    wanted.find(({ uri }) => uri.pinValue !== undefined || uri.pinSource !== undefined)?.uri ?? first
  const most = Math.max(...wanted.map(({ maxSessions }) => maxSessions))
  return Token.open(module, {
    name: first,
    source: tokenSource(module, findSlot(module, first, first.text)),
    pin: () => readPin(withPin, { env, logger }),
    maxSessions: Math.max(1, Math.floor(most / processes)),
    maxQueued: QUEUED,
    isAttended,
    logger,
    observer,
  })
}

function getOrInsert<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}

function never(): never {
  throw new TypeError('an entry at least')
}

function tokenSource(module: Pkcs11Module, slot: Handle): string {
  return `pkcs11:token=${encoded(label(module.cryptoki.C_GetTokenInfo(slot)))}`
}

function keySource(token: string, { label: object, id }: KeyObjectName): string {
  const parts = [
    token,
    object === undefined ? undefined : `object=${encoded(object)}`,
    id === undefined ? undefined : `id=${id.toString('hex').replaceAll(/../g, '%$&')}`,
  ]
  return parts.filter((part) => part !== undefined).join(';')
}

/** RFC 7512 §2.3, as far as it is needed to read it back. */
function encoded(text: string): string {
  return encodeURIComponent(text)
}

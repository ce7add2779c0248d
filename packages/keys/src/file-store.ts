// Private keys in files: loaded once, kept in OpenSSL's memory, replaced as a whole by a reload.
//
// What can cross: a reload with signing (signing is synchronous and the new set is put in place in one step, so a
// signature sees the old set or the new one, whole); a reload with a reload (one waits); dispose with a reload
// (dispose wins: the reload is aborted and what it loaded is freed).
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { type Logger, silentLogger } from '@latchkey/core'
import { KeysError } from './errors.ts'
import { findKeyFiles } from './key-directory.ts'
import { loadKeyFile } from './key-file.ts'
import type { NativePrivateKey } from './native-key.ts'
import type { KeyStore } from './private-key.ts'
import { SKI_BYTES } from './ski.ts'

/**
 * A directory, searched below for `*.key`, or one file of any name. `passphraseFile` holds the passphrase of
 * encrypted keys; without it each key's is looked for in `<key file>.passphrase`.
 */
export type FileStoreEntry = { readonly passphraseFile?: string | undefined } & (
  | { readonly dir: string; readonly file?: undefined }
  | { readonly file: string; readonly dir?: undefined }
)

export interface FileStoreOptions {
  readonly logger?: Logger | undefined
  /** Takes RSA keys below 2048 bits as well. Default false. */
  readonly allowWeakRsa?: boolean | undefined
  /** Logs a file in a directory that cannot be loaded and goes on. A file named by an entry must always load. Default false. */
  readonly skipBadFiles?: boolean | undefined
  /**
   * This store is one of `count` that load the same keys, in processes of their own: it proves only its share of them to
   * be pairs, the others prove the others. Default: it proves all.
   */
  readonly share?: Share | undefined
  /** Ends the loading; the store that was opened does not listen to it. */
  readonly signal?: AbortSignal | undefined
}

/** `index` of `count`, from 0. */
export interface Share {
  readonly index: number
  readonly count: number
}

/** What a reload changed, in keys. */
export interface ReloadSummary {
  readonly added: number
  readonly removed: number
  readonly kept: number
}

/** Keys that were loaded and wait for the word. Disposing one that was not committed frees them. */
export interface PreparedReload extends Disposable {
  /** Puts them in place of the old ones, in one step. Once. @throws {KeysError} ERR_KEYS_DISPOSED. */
  commit(): ReloadSummary
}

/** For so long a reload may keep others waiting. */
const SLICE_MS = 2

/** By SKI in hexadecimal. */
type KeySet = Map<string, NativePrivateKey>
interface LoadOptions {
  readonly logger: Logger
  readonly allowWeakRsa: boolean
  readonly skipBadFiles: boolean
  readonly share: Share
  readonly signal: AbortSignal | undefined
}

/**
 * Loads every key of `entries`. Where two files hold the same key the later one wins, with a warning; no key at all
 * is a warning too.
 *
 * @throws {KeysError} of the first file or directory that cannot be loaded; it names the path.
 * @example
 * await using store = await openFileStore([{ dir: '/etc/latchkey/keys' }])
 * const signature = store.find(ski)?.sign('ecdsa_sha256', digest)
 */
export async function openFileStore(
  entries: readonly FileStoreEntry[],
  options: FileStoreOptions = {},
): Promise<FileStore> {
  return FileStore.open(entries, options)
}

/** A {@link KeyStore} over files, which answers at once. */
export class FileStore implements KeyStore {
  readonly #entries: readonly FileStoreEntry[]
  readonly #options: Omit<LoadOptions, 'signal'>
  readonly #closing = new AbortController()
  #keys: KeySet
  #running: Promise<ReloadSummary> | undefined
  #waiting: Promise<ReloadSummary> | undefined

  private constructor(entries: readonly FileStoreEntry[], options: LoadOptions, keys: KeySet) {
    this.#entries = entries
    this.#options = options
    this.#keys = keys
  }

  static async open(entries: readonly FileStoreEntry[], options: FileStoreOptions): Promise<FileStore> {
    const full: LoadOptions = {
      logger: options.logger ?? silentLogger,
      allowWeakRsa: options.allowWeakRsa ?? false,
      skipBadFiles: options.skipBadFiles ?? false,
      share: options.share ?? { index: 0, count: 1 },
      signal: options.signal,
    }
    const own = structuredClone([...entries])
    return new FileStore(own, full, await loadKeys(own, full))
  }

  find(ski: Uint8Array): NativePrivateKey | undefined {
    return ski.length === SKI_BYTES ? this.#keys.get(hex(ski)) : undefined
  }

  list(): IterableIterator<NativePrivateKey> {
    return this.#keys.values()
  }

  /** Number of keys. */
  get size(): number {
    return this.#keys.size
  }

  /**
   * Loads everything again and then replaces the whole set in one step; if anything fails the old set stays. A key
   * that is still there stays usable in the hands of whoever found it before; one that is gone is freed at once.
   *
   * A call during a reload gives one more reload, which later calls share.
   *
   * @throws {KeysError} like {@link openFileStore}; ERR_KEYS_DISPOSED if the store is, or is meanwhile, disposed.
   */
  reload(): Promise<ReloadSummary> {
    if (this.#running === undefined) return this.#start()
    this.#waiting ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    )
    return this.#waiting
  }

  /**
   * The first half of {@link reload}: loads everything and changes nothing yet, for whoever reloads several things
   * together or not at all.
   *
   * @throws {KeysError} like {@link openFileStore}; ERR_KEYS_DISPOSED.
   */
  async prepareReload(): Promise<PreparedReload> {
    const { signal } = this.#closing
    signal.throwIfAborted()
    let next: KeySet | undefined = await loadKeys(this.#entries, { ...this.#options, signal })
    const give = (): KeySet => {
      const given = next ?? new Map()
      next = undefined
      return given
    }
    return {
      commit: () => {
        const keys = give()
        if (!signal.aborted) return this.#replace(keys)
        free(keys)
        throw signal.reason
      },
      [Symbol.dispose]: () => free(give()),
    }
  }

  /** Frees every key. Twice is harmless. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new KeysError('ERR_KEYS_DISPOSED'))
    await Promise.allSettled([this.#running, this.#waiting])
    free(this.#keys)
  }

  #start(): Promise<ReloadSummary> {
    this.#waiting = undefined
    const run = this.#reload().finally(() => {
      if (this.#running === run) this.#running = undefined
    })
    this.#running = run
    return run
  }

  async #reload(): Promise<ReloadSummary> {
    using prepared = await this.prepareReload()
    return prepared.commit()
  }

  /** No await in here: nobody may see half of it. */
  #replace(next: KeySet): ReloadSummary {
    const previous = this.#keys
    let kept = 0
    for (const [ski, key] of next) {
      const known = previous.get(ski)
      if (known === undefined) continue
      kept++
      previous.delete(ski)
      key[Symbol.dispose]()
      next.set(ski, known.source === key.source ? known : known.withSource(key.source))
    }
    const removed = previous.size
    this.#keys = next
    free(previous)
    return { added: next.size - kept, removed, kept }
  }
}

async function loadKeys(entries: readonly FileStoreEntry[], options: LoadOptions): Promise<KeySet> {
  const keys: KeySet = new Map()
  try {
    for (const entry of entries) await loadEntry(entry, options, keys)
  } catch (cause) {
    free(keys)
    throw cause
  }
  if (keys.size === 0) {
    const paths = entries.map((entry) => entry.dir ?? entry.file).join(', ')
    options.logger.warning(`no private key found in ${paths === '' ? 'an empty list of stores' : paths}`)
  }
  return keys
}

async function loadEntry(entry: FileStoreEntry, options: LoadOptions, keys: KeySet): Promise<void> {
  const { logger, signal, allowWeakRsa, share } = options
  let sliceEnd = performance.now() + SLICE_MS
  const load = async (path: string): Promise<void> => {
    if (performance.now() > sliceEnd) {
      await turnOfTheLoop() // signatures that are asked for meanwhile
      sliceEnd = performance.now() + SLICE_MS
    }
    signal?.throwIfAborted()
    logger.info(`loading ${path}...`, { path })
    // What only one process finds wrong, only that one would skip.
    const isChecked = options.skipBadFiles || keys.size % share.count === share.index
    const { passphraseFile } = entry
    add(loadKeyFile(path, { logger, allowWeakRsa, passphraseFile, isChecked }), keys, logger)
  }
  if (entry.dir === undefined) return load(entry.file)

  logger.info(`loading ${entry.dir}...`, { path: entry.dir })
  for (const path of await findKeyFiles(entry.dir, { logger, signal })) {
    try {
      await load(path)
    } catch (cause) {
      if (!options.skipBadFiles || !isFaultOfFile(cause)) throw cause
      logger.error(`skipped ${path}: ${cause.message}`, { path, code: cause.code })
    }
  }
}

/** A missing OpenSSL would fail for every file: that is not the file's fault. */
function isFaultOfFile(cause: unknown): cause is KeysError {
  return cause instanceof KeysError && cause.code !== 'ERR_KEYS_NATIVE'
}

function add(key: NativePrivateKey, keys: KeySet, logger: Logger): void {
  const ski = hex(key.ski)
  const earlier = keys.get(ski)
  if (earlier !== undefined) {
    logger.warning(`${key.source}: the same key as in ${earlier.source}; the later one is used`, {
      path: key.source,
      ski,
    })
    earlier[Symbol.dispose]()
  }
  keys.set(ski, key)
  logger.debug(`add signer with SKI: ${ski} (https://crt.sh/?ski=${ski})`, { path: key.source, ski })
}

function free(keys: KeySet): void {
  for (const key of keys.values()) key[Symbol.dispose]()
  keys.clear()
}

function hex(ski: Uint8Array): string {
  return Buffer.from(ski.buffer, ski.byteOffset, ski.byteLength).toString('hex')
}

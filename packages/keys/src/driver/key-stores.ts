// All the keys of a key server: those in files, and those of each driver that a URI asks for. A driver's package is
// imported here and only when it is needed, so that whoever has keys in files installs and loads no vendor's SDK.
import { type Logger, silentLogger } from '@latchkey/core'
import { KeysError } from '../errors.ts'
import { type FileStore, type FileStoreEntry, openFileStore, type PreparedReload } from '../file-store.ts'
import type { KeyStore, MaybePromise, PrivateKey } from '../private-key.ts'
import { driverOf, URI_FORMS } from './driver-names.ts'
import type { DriverEntry, DriverOptions, DriverStore, KeyDriver, KeyHomeHealth } from './driver.ts'

export type KeyStoreEntry = ({ readonly uri?: undefined } & FileStoreEntry) | DriverEntry

export interface KeyStoresOptions extends DriverOptions {
  /** See {@link FileStoreOptions.allowWeakRsa}. */
  readonly allowWeakRsa?: boolean | undefined
  /** See {@link FileStoreOptions.skipBadFiles}. */
  readonly skipBadFiles?: boolean | undefined
}

/**
 * Opens every store that `entries` name. Where a key is in a file and in a driver's home as well, the file's is used,
 * with a warning.
 *
 * @throws {KeysError} of the first entry that cannot be served; ERR_KEYS_DRIVER if a driver's package is not installed.
 * @example
 * await using stores = await openKeyStores([{ dir: 'keys' }, { uri: 'pkcs11:token=web?module-name=softhsm2&pin-source=pin' }])
 */
export async function openKeyStores(
  entries: readonly KeyStoreEntry[],
  options: KeyStoresOptions = {},
): Promise<KeyStores> {
  return KeyStores.open(entries, options)
}

export class KeyStores implements KeyStore {
  readonly #files: FileStore
  readonly #drivers: readonly DriverStore[]

  private constructor(files: FileStore, drivers: readonly DriverStore[]) {
    this.#files = files
    this.#drivers = drivers
  }

  static async open(entries: readonly KeyStoreEntry[], options: KeyStoresOptions): Promise<KeyStores> {
    const inFiles = entries.filter((entry) => entry.uri === undefined)
    const named = entries.filter((entry) => entry.uri !== undefined)
    await using stack = new AsyncDisposableStack()
    const drivers: DriverStore[] = []
    // One after another, and what is elsewhere first: an HSM that is not there is told before ten thousand files load.
    for (const [packageName, its] of byDriver(named)) {
      const driver = await importDriver(packageName)
      drivers.push(stack.use(await driver.openKeyStore(its, options)))
    }
    const areFilesMeant = inFiles.length > 0 || named.length === 0
    const logger = areFilesMeant ? options.logger : silentLogger // no warning that there are no files
    const files = stack.use(await openFileStore(inFiles, { ...options, logger }))
    const stores = new KeyStores(files, drivers)
    stores.#warnOfTwins(options.logger ?? silentLogger)
    stack.move()
    return stores
  }

  find(ski: Uint8Array): MaybePromise<PrivateKey | undefined> {
    const inFile = this.#files.find(ski)
    return inFile !== undefined || this.#drivers.length === 0 ? inFile : this.#findAtDrivers(ski)
  }

  *list(): Generator<PrivateKey> {
    yield* this.#files.list()
    for (const driver of this.#drivers) yield* driver.list()
  }

  /** Number of keys. */
  get size(): number {
    return this.#drivers.reduce((sum, { size }) => sum + size, this.#files.size)
  }

  /** Of each home outside this process. */
  health(): KeyHomeHealth[] {
    return this.#drivers.flatMap((driver) => driver.health())
  }

  /** Loads everything again and changes nothing yet. @throws {KeysError} like opening. */
  async prepareReload(): Promise<PreparedReload> {
    using stack = new DisposableStack()
    const prepared: PreparedReload[] = []
    for (const store of [...this.#drivers, this.#files]) prepared.push(stack.use(await store.prepareReload()))
    const own = stack.move()
    return {
      commit: () =>
        prepared
          .map((each) => each.commit())
          .reduce((sum, { added, removed, kept }) => ({
            added: sum.added + added,
            removed: sum.removed + removed,
            kept: sum.kept + kept,
          })),
      [Symbol.dispose]: () => own[Symbol.dispose](),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#files, ...this.#drivers].map((store) => store[Symbol.asyncDispose]()))
  }

  #findAtDrivers(ski: Uint8Array, from = 0): MaybePromise<PrivateKey | undefined> {
    for (const [index, driver] of this.#drivers.entries()) {
      if (index < from) continue
      const found = driver.find(ski)
      if (found instanceof Promise) {
        return found.then((key) => key ?? this.#findAtDrivers(ski, index + 1))
      }
      if (found !== undefined) return found
    }
    return undefined
  }

  #warnOfTwins(logger: Logger): void {
    for (const key of this.#drivers.flatMap((driver) => [...driver.list()])) {
      const file = this.#files.find(key.ski)
      if (file === undefined) continue
      const text = `${file.source}: the same key as ${key.source}, and the file is used; hint: delete the file`
      logger.warning(text, { path: file.source })
    }
  }
}

function byDriver(entries: readonly DriverEntry[]): Map<string, DriverEntry[]> {
  return Map.groupBy(entries, ({ uri }) => {
    const driver = driverOf(uri)
    // The URI may carry a PIN and is not shown.
    if (driver === undefined) throw new KeysError('ERR_KEYS_URI', { expected: URI_FORMS })
    return driver.packageName
  })
}

/** The package of a driver. @throws {KeysError} ERR_KEYS_DRIVER if it is not installed. */
export async function importDriver(packageName: string): Promise<KeyDriver> {
  try {
    return (await import(packageName)) as KeyDriver
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message.split('\n')[0] : undefined
    throw new KeysError('ERR_KEYS_DRIVER', {
      path: packageName,
      detail,
      hint: `npm install ${packageName}`,
      cause,
    })
  }
}

// The seam between a key server and the packages that know one vendor's way to find a key and sign.
import type { Logger } from '@latchkey/core'
import type { KeysErrorCode } from '../errors.ts'
import type { PreparedReload, Share } from '../file-store.ts'
import type { KeyStore } from '../private-key.ts'

/** A key, or the keys, that a URI names. Without a limit the driver's own default counts. */
export interface DriverEntry {
  readonly uri: string
  /** Operations under way at a time. */
  readonly maxInFlight?: number | undefined
  /** Operations begun in a second: what the service allows, or what you want to pay for. */
  readonly maxPerSecond?: number | undefined
  /** One operation with all that it waits for. */
  readonly timeoutMs?: number | undefined
}

export interface DriverOptions {
  readonly logger?: Logger | undefined
  /** Where credentials are looked for. Default: the environment of the process. */
  readonly env?: NodeJS.ProcessEnv | undefined
  /** Which of the keys this process proves, see {@link FileStoreOptions.share}. */
  readonly share?: Share | undefined
  /** As many processes serve the same keys, this one included: each takes its part of the limits. Default: 1. */
  readonly processes?: number | undefined
  readonly observer?: DriverObserver | undefined
  /** A person looks on: what could do harm when it is done again and again, such as a login after a wrong PIN, is done. */
  readonly isAttended?: boolean | undefined
  /** Ends the opening; the store that was opened does not listen to it. */
  readonly signal?: AbortSignal | undefined
}

/** What a driver package exports. */
export interface KeyDriver {
  /**
   * Finds every key that the entries name and proves each by a signature.
   *
   * @throws {KeysError} of the first entry that cannot be served; its text holds no secret of the URI.
   */
  openKeyStore(entries: readonly DriverEntry[], options: DriverOptions): Promise<DriverStore>
}

export interface DriverStore extends KeyStore {
  /** Number of keys. */
  readonly size: number
  /** Looks for the keys again and changes nothing yet. @throws {KeysError} like opening. */
  prepareReload(): Promise<PreparedReload>
  /** Of each home, in the order of the entries. Cheap: it asks nobody. */
  health(): readonly KeyHomeHealth[]
}

/** A key in a cloud, or a token with all of its keys. */
export interface KeyHomeHealth {
  /** Without secrets. */
  readonly source: string
  /** `degraded`: it works, but not as it should; `down`: nothing can be signed there at the moment. */
  readonly state: 'up' | 'degraded' | 'down'
  /** Why, where it is not up. */
  readonly detail?: string | undefined
  readonly inFlight: number
  /** Operations that wait for their turn. */
  readonly queued: number
}

/** Every method is called in the middle of the work: it must be quick and must not throw. */
export interface DriverObserver {
  /** A request went to the home and came back, or not: services charge by these. */
  called?(call: DriverCall): void
  /** The same operation is tried again. */
  retried?(source: string, cause: KeysErrorCode): void
  /** Something was done to make a home work again: a session opened anew, a login, a module started again. */
  recovered?(source: string, step: string): void
}

export interface DriverCall {
  readonly source: string
  readonly operation: DriverOperation
  readonly error: KeysErrorCode | undefined
  readonly durationMs: number
}

export type DriverOperation = 'sign' | 'decrypt' | 'find'

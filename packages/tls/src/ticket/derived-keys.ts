// The keys that processes derive from root keys: kept a while, because a client comes back to any process of a fleet.
import { type AeadKey, wipeAeadKey } from '../crypto-provider.ts'

interface DerivedKey {
  readonly key: AeadKey
  readonly rootId: Uint8Array
}

/** The `limit` keys that were used last. It owns them: a key that leaves is wiped. */
export class DerivedKeys {
  readonly #limit: number
  // In the order of last use.
  readonly #keys = new Map<string, DerivedKey>()

  /** @throws {RangeError} if `limit` is not a whole number from 1 up. */
  constructor(limit: number) {
    if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`cannot keep ${limit} derived keys`)
    this.#limit = limit
  }

  get size(): number {
    return this.#keys.size
  }

  /** The key is good until the next call of this class. */
  get(name: string): AeadKey | undefined {
    const found = this.#keys.get(name)
    if (found === undefined) return undefined
    this.#keys.delete(name)
    this.#keys.set(name, found)
    return found.key
  }

  /** Takes over a key that is not yet there. */
  add(name: string, rootId: Uint8Array, key: AeadKey): void {
    if (this.#keys.size >= this.#limit) {
      for (const oldest of this.#keys.keys()) {
        this.#drop(oldest)
        break
      }
    }
    this.#keys.set(name, { key, rootId })
  }

  /** Drops every key whose root key is gone. */
  retain(isLive: (rootId: Uint8Array) => boolean): void {
    for (const [name, { rootId }] of this.#keys) if (!isLive(rootId)) this.#drop(name)
  }

  #drop(name: string): void {
    const gone = this.#keys.get(name)
    if (gone !== undefined) wipeAeadKey(gone.key)
    this.#keys.delete(name)
  }
}

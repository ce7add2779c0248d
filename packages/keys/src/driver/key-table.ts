// Keys by SKI, replaced as a whole.
import type { ReloadSummary } from '../file-store.ts'
import type { PrivateKey } from '../private-key.ts'
import { SKI_BYTES } from '../ski.ts'

export class KeyTable<Key extends PrivateKey> {
  #keys: ReadonlyMap<string, Key> = new Map()

  get size(): number {
    return this.#keys.size
  }

  find(ski: Uint8Array): Key | undefined {
    return ski.length === SKI_BYTES ? this.#keys.get(hex(ski)) : undefined
  }

  list(): IterableIterator<Key> {
    return this.#keys.values()
  }

  /** Of two with one SKI the later is kept. */
  replace(keys: Iterable<Key>): ReloadSummary {
    const next = new Map(Array.from(keys, (key) => [hex(key.ski), key]))
    const kept = [...next.keys()].filter((ski) => this.#keys.has(ski)).length
    const summary = { added: next.size - kept, removed: this.#keys.size - kept, kept }
    this.#keys = next
    return summary
  }
}

function hex(ski: Uint8Array): string {
  return Buffer.from(ski.buffer, ski.byteOffset, ski.byteLength).toString('hex')
}

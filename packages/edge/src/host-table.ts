// From a host name to whatever is kept for it: exact names first, then the wildcard of the parent.
import { EdgeError } from './errors.ts'

/** A host name or `*.` in front of one; a wildcard stands for exactly one label (RFC 9525 §6.3). */
const SERVER_NAME =
  /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

export class HostTable<Entry> {
  readonly #byName = new Map<string, Entry>()

  /**
   * Makes `names` mean `entry`.
   *
   * @throws {EdgeError} ERR_EDGE_HOST if a name is no host name or already taken.
   */
  add(names: readonly string[], entry: Entry): this {
    for (const name of names) {
      const key = normalHostName(name)
      if (key.length > 253 || !SERVER_NAME.test(key)) {
        throw new EdgeError('ERR_EDGE_HOST', { detail: `${JSON.stringify(name)} is not a host name` })
      }
      if (this.#byName.has(key)) throw new EdgeError('ERR_EDGE_HOST', { detail: `${key} is listed twice` })
      this.#byName.set(key, entry)
    }
    return this
  }

  /** The entry that answers to `name`, in any case and with or without the final dot. */
  find(name: string): Entry | undefined {
    const key = normalHostName(name)
    // A peer may not name a wildcard.
    if (key.startsWith('*')) return undefined
    const dot = key.indexOf('.')
    return this.#byName.get(key) ?? (dot > 0 ? this.#byName.get(`*${key.slice(dot)}`) : undefined)
  }
}

function normalHostName(name: string): string {
  const lower = name.toLowerCase()
  return lower.endsWith('.') ? lower.slice(0, -1) : lower
}

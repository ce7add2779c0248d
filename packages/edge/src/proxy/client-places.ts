// How much one client may have under way: so that it cannot take every connection to an origin.
import { isIPv6 } from 'node:net'

/** Places for requests, so many for each client. A client that has none under way takes no memory. */
export class ClientPlaces {
  readonly #limit: number
  readonly #taken = new Map<string, number>()

  /** @param limit requests at once of one client, or Infinity. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Takes a place for a request of `address`; call the result once to give it back. Undefined: all are taken. */
  claim(address: string | undefined): (() => void) | undefined {
    const client = clientOf(address)
    const taken = this.#taken.get(client) ?? 0
    if (taken >= this.#limit) return undefined
    this.#taken.set(client, taken + 1)
    return () => {
      const left = (this.#taken.get(client) ?? 1) - 1
      if (left === 0) this.#taken.delete(client)
      else this.#taken.set(client, left)
    }
  }

  /** Clients with a request under way. */
  get size(): number {
    return this.#taken.size
  }
}

const MAPPED_IPV4 = '::ffff:'
const GROUPS = 8
/** RFC 6177 §2: a site has at least a /64, and whoever has one has all addresses in it. */
const SITE_GROUPS = 4

/**
 * What counts as one client: an IPv4 address, or the first 64 bits of an IPv6 address.
 *
 * @param address as `net.Socket.remoteAddress` has it; undefined if the socket has gone: these share their places.
 */
export function clientOf(address: string | undefined): string {
  if (address === undefined) return ''
  if (!isIPv6(address)) return address
  // A socket that accepts both families writes IPv4 so, RFC 4291 §2.5.5.2.
  if (address.startsWith(MAPPED_IPV4) && address.includes('.')) return address.slice(MAPPED_IPV4.length)
  const [withoutZone = ''] = address.split('%')
  const [before = [], after = []] = withoutZone.split('::').map(groups)
  const zeros = Array.from({ length: GROUPS - before.length - after.length }, () => '0')
  return [...before, ...zeros, ...after].slice(0, SITE_GROUPS).join(':')
}

/** The sixteen-bit groups of a part of an address; a dotted tail (RFC 4291 §2.2) stands for two. */
function groups(part: string): string[] {
  if (part === '') return []
  return part.split(':').flatMap((group) => (group.includes('.') ? ['', ''] : [group]))
}

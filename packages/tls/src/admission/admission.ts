// Who may cost us a key exchange and a signature: decided after everything free has been checked and a ticket has been
// looked at, before any asymmetric operation.
import type { ClockMs } from '@latchkey/core'
import type { GroupName } from '../handshake/named-group.ts'
import { type BucketRate, TokenBuckets } from './token-buckets.ts'

export interface AdmissionRates {
  /** Of all clients together. Default: not limited. */
  readonly total?: BucketRate
  /** Of one source: an IPv4 address, or the /64 of an IPv6 one; loopback is none. Default: not limited. */
  readonly perSource?: BucketRate
}

export interface AdmissionOptions {
  /** Full handshakes: a key exchange and a signature. */
  readonly full?: AdmissionRates
  /** Resumptions by a valid ticket: in TLS 1.3 a key exchange. They take nothing from the full handshakes' buckets. */
  readonly resumed?: AdmissionRates
  /**
   * Handshakes with secp384r1, of either kind and of all clients, on top of the others: one blocks the event loop for
   * as long as twenty with X25519 do. Default: 100 a second (a tenth of a core), 200 at once.
   */
  readonly secp384r1?: BucketRate
  /** Sources remembered, of each kind of handshake. Default 65,536: about 10 MB. */
  readonly maxSources?: number
}

export interface AdmissionRequest {
  readonly isResumed: boolean
  /** undefined: TLS 1.2 resumed, or with RSA key exchange. */
  readonly group: GroupName | undefined
  /** As `net.Socket.remoteAddress` writes it; undefined: nobody's. */
  readonly clientAddress: string | undefined
}

const DEFAULT_SECP384R1: BucketRate = { perSecond: 100, burst: 200 }
const DEFAULT_MAX_SOURCES = 65_536
const ALL = ''

export class Admission {
  readonly #full: Share
  readonly #resumed: Share
  readonly #secp384r1: TokenBuckets

  constructor({
    full = {},
    resumed = {},
    secp384r1 = DEFAULT_SECP384R1,
    maxSources = DEFAULT_MAX_SOURCES,
    clock,
  }: AdmissionOptions & { readonly clock: ClockMs }) {
    this.#full = new Share(full, maxSources, clock)
    this.#resumed = new Share(resumed, maxSources, clock)
    this.#secp384r1 = new TokenBuckets({ rate: secp384r1, limit: 1, clock })
  }

  /** Whose share is used up; undefined: the handshake may go on. */
  refusal({ isResumed, group, clientAddress }: AdmissionRequest): string | undefined {
    const share = isResumed ? this.#resumed : this.#full
    const kind = isResumed ? 'resumptions' : 'full handshakes'
    // The source first: one that is over its share must not use up what is for all.
    if (!share.admitsSource(clientAddress)) return `${kind} of this source`
    if (group === 'secp384r1' && !this.#secp384r1.take(ALL)) return group
    return share.admitsAny() ? undefined : kind
  }
}

/** What one kind of handshake may take. */
class Share {
  readonly #total: TokenBuckets | undefined
  readonly #sources: TokenBuckets | undefined

  constructor({ total, perSource }: AdmissionRates, maxSources: number, clock: ClockMs) {
    this.#total = total && new TokenBuckets({ rate: total, limit: 1, clock })
    this.#sources = perSource && new TokenBuckets({ rate: perSource, limit: maxSources, clock })
  }

  admitsSource(address: string | undefined): boolean {
    if (this.#sources === undefined || address === undefined) return true
    const source = sourceOf(address)
    return source === undefined || this.#sources.take(source)
  }

  admitsAny(): boolean {
    return this.#total === undefined || this.#total.take(ALL)
  }
}

const MAPPED_IPV4 = '::ffff:'

/** What is counted as one source; undefined for loopback. Addresses are as `net.Socket.remoteAddress` writes them. */
export function sourceOf(address: string): string | undefined {
  const plain =
    address.startsWith(MAPPED_IPV4) && address.includes('.') ? address.slice(MAPPED_IPV4.length) : address
  if (plain === '::1' || plain.startsWith('127.')) return undefined
  return plain.includes(':') ? prefix64(plain) : plain
}

const GROUPS = 8
const PREFIX_GROUPS = 4

/** The first four groups of an IPv6 address: what one customer usually has. RFC 6177. */
function prefix64(address: string): string {
  const [withoutZone = ''] = address.split('%')
  const [head = '', tail] = withoutZone.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':')
    while (groups.length + after.length < GROUPS) groups.push('0')
    groups.push(...after)
  }
  return groups.slice(0, PREFIX_GROUPS).join(':')
}

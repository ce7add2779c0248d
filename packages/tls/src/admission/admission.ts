// Who may cost us a full handshake: decided after everything free has been checked, before any asymmetric operation.
import type { ClockMs } from '@latchkey/core'
import { type BucketRate, TokenBuckets } from './token-buckets.ts'

export interface AdmissionOptions {
  /** All full handshakes together. */
  readonly total: BucketRate
  /** Full handshakes from one source: an IPv4 address, or the /64 of an IPv6 one. */
  readonly perSource: BucketRate
  /** Sources remembered. Default 65,536: about 10 MB. */
  readonly maxSources?: number
  readonly clock: ClockMs
}

const DEFAULT_MAX_SOURCES = 65_536
const ALL = ''

/** Counts full handshakes. A resumption costs no signature and is not counted. */
export class Admission {
  readonly #total: TokenBuckets
  readonly #sources: TokenBuckets

  constructor({ total, perSource, maxSources = DEFAULT_MAX_SOURCES, clock }: AdmissionOptions) {
    this.#total = new TokenBuckets({ rate: total, limit: 1, clock })
    this.#sources = new TokenBuckets({ rate: perSource, limit: maxSources, clock })
  }

  /** Whether a full handshake from `address` may go on. Loopback is let through: it is this machine. */
  admits(address: string | undefined): boolean {
    const source = address === undefined ? undefined : sourceOf(address)
    if (source === undefined) return true
    // The source first: one that is over its share must not use up what is for all.
    return this.#sources.take(source) && this.#total.take(ALL)
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

// Token buckets by key, as many as fit: who has spent little is forgotten first.
import type { ClockMs } from '@latchkey/core'

export interface BucketRate {
  /** Tokens that come back a second. */
  readonly perSecond: number
  /** Tokens a full bucket holds. */
  readonly burst: number
}

interface Bucket {
  tokens: number
  readAtMs: number
}

/**
 * One bucket a key. At most `limit` are kept: when they are too many, the one touched longest ago goes, and its key starts
 * with a full bucket again. An attacker with that many addresses is not stopped by buckets per address anyway.
 */
export class TokenBuckets {
  readonly #rate: BucketRate
  readonly #limit: number
  readonly #clock: ClockMs
  // Insertion order is the order of last use.
  readonly #buckets = new Map<string, Bucket>()

  constructor({ rate, limit, clock }: { rate: BucketRate; limit: number; clock: ClockMs }) {
    this.#rate = rate
    this.#limit = limit
    this.#clock = clock
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Takes a token; false if there is none. */
  take(key: string): boolean {
    const bucket = this.#refilled(key)
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }

  #refilled(key: string): Bucket {
    const { perSecond, burst } = this.#rate
    const now = this.#clock()
    const known = this.#buckets.get(key)
    this.#buckets.delete(key)
    // A clock that jumps back gives nothing; one that jumps forward at most a full bucket.
    const passedMs = known === undefined ? 0 : Math.max(0, now - known.readAtMs)
    const tokens = known === undefined ? burst : Math.min(burst, known.tokens + (passedMs * perSecond) / 1000)
    const bucket = { tokens, readAtMs: now }
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > this.#limit) this.#forgetOldest()
    return bucket
  }

  #forgetOldest(): void {
    const [oldest] = this.#buckets.keys()
    if (oldest !== undefined) this.#buckets.delete(oldest)
  }
}

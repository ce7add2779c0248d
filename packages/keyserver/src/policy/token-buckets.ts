// Token buckets by name: how many uses a second, and how many at once.
import type { Rate } from './policy.ts'

/** More names than this in use at once are clients with certificates of their own, by the thousand. */
const MAX_BUCKETS = 10_000

export interface TokenBucket {
  tokens: number
  filledAt: number
  readonly perMs: number
  readonly burst: number
}

export class TokenBuckets {
  readonly #nowMs: () => number
  readonly #share: number
  readonly #maxBuckets: number
  /** In the order in which they were last handed out. */
  readonly #buckets = new Map<string, TokenBucket>()

  /**
   * @param nowMs a clock that never goes back.
   * @param share of every rate that is ours: 1/n where n processes do the same.
   */
  constructor(nowMs: () => number, share = 1, maxBuckets = MAX_BUCKETS) {
    this.#nowMs = nowMs
    this.#share = share
    this.#maxBuckets = maxBuckets
  }

  get size(): number {
    return this.#buckets.size
  }

  /** The bucket of `name`, full if it is new. Beyond the limit the one that was not asked for longest is forgotten. */
  get(name: string, { perSecond, burst }: Rate): TokenBucket {
    let bucket = this.#buckets.get(name)
    if (bucket === undefined) {
      const ours = Math.max(1, burst * this.#share)
      bucket = {
        tokens: ours,
        filledAt: this.#nowMs(),
        perMs: (perSecond * this.#share) / 1000,
        burst: ours,
      }
    } else this.#buckets.delete(name)
    this.#buckets.set(name, bucket)
    if (this.#buckets.size > this.#maxBuckets) {
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest)
        break
      }
    }
    return bucket
  }

  /** Takes one token of each, or none of any. */
  take(...buckets: readonly TokenBucket[]): boolean {
    const now = this.#nowMs()
    for (const bucket of buckets) {
      bucket.tokens = Math.min(
        bucket.burst,
        bucket.tokens + Math.max(0, now - bucket.filledAt) * bucket.perMs,
      )
      bucket.filledAt = now
    }
    if (buckets.some(({ tokens }) => tokens < 1)) return false
    for (const bucket of buckets) bucket.tokens--
    return true
  }
}

// What has been seen of one key server: how far it is, how long its answers take, whether it fails. Pure: told, and asked.
//
//   in use ──(3 failures in a row)──▶ ejected, for 1 s, 2 s, … 30 s ──(a ping after that)──▶ returning, for 10 s ──▶ in use
//
// The round trip is that of the protocol's own ping, smoothed as TCP does it (RFC 6298 §2): SRTT and its mean deviation.

/** RFC 6298 §2.3. */
const RTT_WEIGHT = 1 / 8
const DEVIATION_WEIGHT = 1 / 4
/** Of the time that an answer takes beyond the round trip: the signature, and the queue before it. */
const SERVICE_WEIGHT = 1 / 8
/** What was slow a while ago may be quick again, and is not known to be as long as nobody asks. */
const SERVICE_HALF_LIFE_MS = 5000
/** Answers that the 95th percentile is of. */
const RECENT = 64
const FAILURES = 3
const FIRST_EJECTION_MS = 1000
const MAX_EJECTION_MS = 30_000
const RETURN_MS = 10_000

/** What the choice between servers goes by. */
export interface Observed {
  /** Smoothed; undefined: not measured yet. */
  readonly rttMs: number | undefined
  readonly rttDeviationMs: number
  /** Of an answer, beyond the round trip. */
  readonly serviceMs: number
  readonly inFlight: number
  /** More are not sent to it. */
  readonly maxInFlight: number
  readonly isConnected: boolean
  readonly isEjected: boolean
  /** From 0, just back, to 1: how much of its share it gets. */
  readonly returned: number
  /** It said lately that it has not got this key. */
  readonly lacksKey: boolean
}

export class ServerRecord {
  #rttMs: number | undefined
  #deviationMs = 0
  #serviceMs = 0
  #serviceAt = 0
  readonly #answers: number[] = []
  #nextAnswer = 0
  #failures = 0
  #ejectedUntil: number | undefined
  #ejectionMs = FIRST_EJECTION_MS
  #returnedAt = Number.NEGATIVE_INFINITY
  #answeredAt = Number.NEGATIVE_INFINITY

  get isEjected(): boolean {
    return this.#ejectedUntil !== undefined
  }

  /** When something last came from it. */
  get answeredAt(): number {
    return this.#answeredAt
  }

  observed(now: number): Pick<Observed, 'rttMs' | 'rttDeviationMs' | 'serviceMs' | 'isEjected' | 'returned'> {
    return {
      rttMs: this.#rttMs,
      rttDeviationMs: this.#deviationMs,
      serviceMs: this.#serviceMs * 0.5 ** ((now - this.#serviceAt) / SERVICE_HALF_LIFE_MS),
      isEjected: this.isEjected,
      returned: Math.min(1, (now - this.#returnedAt) / RETURN_MS),
    }
  }

  /** Of its recent answers; undefined if there are too few to tell. */
  p95Ms(): number | undefined {
    if (this.#answers.length < RECENT / 4) return undefined
    return this.#answers.toSorted((a, b) => a - b)[Math.floor(this.#answers.length * 0.95)]
  }

  pinged(rttMs: number, now: number): void {
    if (this.#rttMs === undefined) {
      this.#rttMs = rttMs
      this.#deviationMs = rttMs / 2
    } else {
      this.#deviationMs += DEVIATION_WEIGHT * (Math.abs(this.#rttMs - rttMs) - this.#deviationMs)
      this.#rttMs += RTT_WEIGHT * (rttMs - this.#rttMs)
    }
    this.#answeredAt = now
    if (this.#ejectedUntil === undefined) {
      this.#failures = 0
    } else if (now >= this.#ejectedUntil) {
      this.#ejectedUntil = undefined
      this.#failures = 0
      this.#returnedAt = now
    }
  }

  answered(ms: number, now: number): void {
    const service = Math.max(0, ms - (this.#rttMs ?? ms))
    const before = this.observed(now).serviceMs
    this.#serviceMs = before + SERVICE_WEIGHT * (service - before)
    this.#serviceAt = now
    this.#answers[this.#nextAnswer] = ms
    this.#nextAnswer = (this.#nextAnswer + 1) % RECENT
    this.#answeredAt = now
    this.#failures = 0
    // Whoever was well for so long since it came back is forgiven.
    if (now - this.#returnedAt > RETURN_MS) this.#ejectionMs = FIRST_EJECTION_MS
  }

  /** @returns whether it is ejected now, and was not before. */
  failed(now: number): boolean {
    this.#failures++
    if (this.isEjected || this.#failures < FAILURES) return false
    this.#ejectedUntil = now + this.#ejectionMs
    this.#ejectionMs = Math.min(2 * this.#ejectionMs, MAX_EJECTION_MS)
    return true
  }
}

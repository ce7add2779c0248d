// How many requests may be asked of a second server while the first still may answer: a tenth of all. A server that slows
// down under load must not be given twice the load, here or elsewhere.

const PER_REQUEST = 0.1
const MOST = 10

export class HedgeBudget {
  #tokens = MOST

  requested(): void {
    this.#tokens = Math.min(MOST, this.#tokens + PER_REQUEST)
  }

  /** Whether one more may be asked twice. */
  take(): boolean {
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}

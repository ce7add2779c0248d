// Deadlines of many short operations, all equally long: one timer for all of them. An AbortSignal.timeout for each would
// cost as much as a signature on P-256.

export interface Deadline {
  readonly at: number
  readonly expire: () => void
}

export class Deadlines {
  readonly #ms: number
  /** In the order in which they end. */
  readonly #pending = new Set<Deadline>()
  #isWatching = false

  /** An operation is given up between `ms` and an eighth later. */
  constructor(ms: number) {
    this.#ms = ms
  }

  /** `expire` is called when time is up, unless {@link settled} is called before. */
  start(expire: () => void): Deadline {
    const deadline = { at: performance.now() + this.#ms, expire }
    this.#pending.add(deadline)
    if (!this.#isWatching) this.#watch()
    return deadline
  }

  settled(deadline: Deadline): void {
    this.#pending.delete(deadline)
  }

  #watch(): void {
    this.#isWatching = true
    setTimeout(() => this.#sweep(), this.#ms / 8)
  }

  #sweep(): void {
    this.#isWatching = false
    const now = performance.now()
    for (const deadline of this.#pending) {
      if (deadline.at > now) break
      this.#pending.delete(deadline)
      deadline.expire()
    }
    if (this.#pending.size > 0) this.#watch()
  }
}

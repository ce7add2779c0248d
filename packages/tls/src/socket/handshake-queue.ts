// Spreads handshake work over event-loop turns, so that a thousand hellos in one turn do not stop everything else.

/**
 * Handshake steps run in one turn of the event loop. A step costs 30–200 µs, so a turn stays below about 5 ms: data of
 * established connections and timers go on meanwhile.
 */
const STEPS_A_TURN = 32

/** Runs jobs at once while the turn has room, else in order in the turns that follow. One instance a process. */
export class HandshakeQueue {
  readonly #waiting: (() => void)[] = []
  #head = 0
  #left = STEPS_A_TURN
  #turnEnds = false

  /** Jobs that wait. Its limit is the number of handshakes in progress: each has at most a few. */
  get length(): number {
    return this.#waiting.length - this.#head
  }

  run(job: () => void): void {
    if (!this.#turnEnds) {
      this.#turnEnds = true
      setImmediate(this.#nextTurn)
    }
    if (this.#left > 0 && this.length === 0) {
      this.#left--
      job()
    } else {
      this.#waiting.push(job)
    }
  }

  readonly #nextTurn = (): void => {
    this.#turnEnds = false
    this.#left = STEPS_A_TURN
    try {
      while (this.#left > 0 && this.length > 0) {
        const job = this.#waiting[this.#head++] as () => void
        this.#left--
        job()
      }
    } finally {
      // What has run is let go of at once, also when the queue is never empty: each job holds a connection.
      this.#waiting.splice(0, this.#head)
      this.#head = 0
      if (this.length > 0 && !this.#turnEnds) {
        this.#turnEnds = true
        setImmediate(this.#nextTurn)
      }
    }
  }
}

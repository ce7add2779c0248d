// Shares the one thread among connections. A signature takes up to a millisecond of it, so a connection that pipelines
// a thousand of them must not hold up the ping of another.
//
// Connections with work wait in one of two lines, in order of arrival: those that just woke up, and those that had a
// slice and have more. Each turn of the event loop serves one of the second line and one of the first, however long that
// takes, then the first line before the rest of the second, for about a millisecond; sockets are read between two turns.
// So a rare request waits for about one turn however many connections are busy, and no busy one waits for ever.

/** Between two looks at the sockets: short against a network round trip, long against the cost of looking. */
const TURN_MS = 1

/** A connection, as far as sharing is concerned. */
export interface Worker {
  /** Does a bounded amount of work; true if there is more to do at once. */
  runSlice(): boolean
}

export interface TurnsOptions {
  readonly nowMs?: () => number
  /** Calls back after the sockets were looked at. */
  readonly schedule?: (run: () => void) => void
}

export class Turns {
  /** Sets keep the order and hold nobody twice. */
  readonly #awakened = new Set<Worker>()
  readonly #busy = new Set<Worker>()
  /** They are awake when the sockets have been looked at. */
  readonly #later = new Set<Worker>()
  readonly #nowMs: () => number
  readonly #schedule: (run: () => void) => void
  #isScheduled = false

  constructor({ nowMs = () => performance.now(), schedule = (run) => setImmediate(run) }: TurnsOptions = {}) {
    this.#nowMs = nowMs
    this.#schedule = schedule
  }

  /** Has `worker` run in this or the next turn; a worker that waits already keeps its place. */
  add(worker: Worker): void {
    if (!this.#busy.has(worker)) this.#awakened.add(worker)
    this.#ensureScheduled()
  }

  /** Has `worker` run in the next turn, after a look at the sockets, and not in this one. */
  addLater(worker: Worker): void {
    this.#later.add(worker)
    this.#ensureScheduled()
  }

  remove(worker: Worker): void {
    this.#later.delete(worker)
    this.#awakened.delete(worker)
    this.#busy.delete(worker)
  }

  #run(): void {
    this.#isScheduled = false
    for (const worker of this.#later) this.#awakened.add(worker)
    this.#later.clear()
    const end = this.#nowMs() + TURN_MS
    // On a slow machine one slice is longer than a turn: neither line may starve the other.
    this.#serve(take(this.#busy))
    this.#serve(take(this.#awakened))
    while (this.#waiting > 0 && this.#nowMs() < end) this.#serve(take(this.#awakened) ?? take(this.#busy))
    if (this.#waiting > 0 || this.#later.size > 0) this.#ensureScheduled()
  }

  get #waiting(): number {
    return this.#awakened.size + this.#busy.size
  }

  #serve(worker: Worker | undefined): void {
    if (worker?.runSlice() === true && !this.#awakened.has(worker)) this.#busy.add(worker)
  }

  #ensureScheduled(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#schedule(() => this.#run())
  }
}

function take(line: Set<Worker>): Worker | undefined {
  for (const worker of line) {
    line.delete(worker)
    return worker
  }
  return undefined
}

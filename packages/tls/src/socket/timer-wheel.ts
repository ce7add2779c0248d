// One clock for the deadlines of all connections: a connection sets and cancels some, and nearly none ever comes.
//
//     slot   0     1     2    …   1023     a slot is 100 ms, the wheel 102 s; what is due later stays in its slot
//          {a,b}   {}   {c}        {}      for another turn
//                   ▲
//               this tick
//
// Setting and cancelling are one Set operation, and however many connections there are, one timer of Node runs, only while
// there are deadlines. It never holds the process: the sockets that the deadlines are for do.
import type { ClockMs } from '@latchkey/core'

/**
 * Deadlines come up to this much late and never early. The shortest, 2 s, is a matter of patience, and that of a signer is
 * told to it exactly: an answer that comes within the last 100 ms after it is still of use.
 */
export const TICK_MS = 100
/** A whole turn is longer than any of our deadlines. A power of two. */
const SLOTS = 1024

/** A deadline that can be cancelled. */
export interface Deadline {
  readonly tick: number
  readonly run: () => void
}

export interface TimerWheelOptions {
  /** Monotonic. */
  readonly clock: ClockMs
  /** Calls `wake` in so many milliseconds. */
  readonly sleep: (ms: number, wake: () => void) => void
}

const SYSTEM: TimerWheelOptions = {
  clock: () => performance.now(),
  sleep: (ms, wake) => void setTimeout(wake, ms).unref(),
}

/** One instance a process. */
export class TimerWheel {
  readonly #clock: ClockMs
  readonly #sleep: TimerWheelOptions['sleep']
  readonly #slots: readonly Set<Deadline>[] = Array.from({ length: SLOTS }, () => new Set<Deadline>())
  #size = 0
  // The last tick whose deadlines have come.
  #tick = 0
  #sleeps = false

  constructor({ clock, sleep }: TimerWheelOptions = SYSTEM) {
    this.#clock = clock
    this.#sleep = sleep
  }

  /** Deadlines that are set. */
  get size(): number {
    return this.#size
  }

  /** Calls `run` once `ms` have passed. What it throws is an exception of a timer. */
  set(ms: number, run: () => void): Deadline {
    const now = this.#clock()
    // An empty wheel has stood still.
    if (this.#size === 0) this.#tick = Math.max(this.#tick, tickOf(now))
    const tick = Math.max(Math.ceil((now + ms) / TICK_MS), tickOf(now) + 1, this.#tick + 1)
    const deadline = { tick, run }
    this.#slot(deadline.tick).add(deadline)
    this.#size++
    this.#fallAsleep(now)
    return deadline
  }

  /** Twice, late, and of none at all is harmless. */
  cancel(deadline: Deadline | undefined): void {
    if (deadline !== undefined && this.#slot(deadline.tick).delete(deadline)) this.#size--
  }

  #slot(tick: number): Set<Deadline> {
    return this.#slots[tick % SLOTS] as Set<Deadline>
  }

  #fallAsleep(now: number): void {
    if (this.#sleeps || this.#size === 0) return
    this.#sleeps = true
    this.#sleep(Math.ceil(TICK_MS - (now % TICK_MS)), this.#wake)
  }

  readonly #wake = (): void => {
    this.#sleeps = false
    const now = tickOf(this.#clock())
    const first = this.#tick + 1
    try {
      // After a long sleep each slot is looked at once.
      for (let tick = first; tick <= Math.min(now, first + SLOTS - 1); tick++) {
        this.#runDue(this.#slot(tick), now)
        // Behind it: if one throws, the others of its slot come next time.
        this.#tick = tick
      }
      this.#tick = Math.max(this.#tick, now)
    } finally {
      this.#fallAsleep(this.#clock())
    }
  }

  #runDue(slot: Set<Deadline>, now: number): void {
    for (const deadline of slot) {
      if (deadline.tick > now) continue
      slot.delete(deadline)
      this.#size--
      deadline.run()
    }
  }
}

function tickOf(ms: number): number {
  return Math.floor(ms / TICK_MS)
}

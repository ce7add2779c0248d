// How much may be asked of one key at a time and in a second. What is over waits in line, and the line has an end:
// nothing piles up in front of a service that is slow.
import { KeysError } from '../errors.ts'
import type { Clock } from '@latchkey/core'
import { SYSTEM_CLOCK } from './system-clock.ts'

export interface CallLimits {
  readonly maxInFlight: number
  /** Infinity: as many as come. */
  readonly maxPerSecond: number
  readonly maxQueued: number
}

interface Waiter {
  readonly begin: () => void
}

export class CallBudget {
  readonly #limits: CallLimits
  readonly #clock: Clock
  readonly #waiting = new Set<Waiter>()
  #inFlight = 0
  /** Theoretical arrival time of the generic cell rate algorithm: a second's worth may come at once. */
  #arrival = Number.NEGATIVE_INFINITY
  #pausedUntil = Number.NEGATIVE_INFINITY
  #willAdmit = false

  constructor(limits: CallLimits, clock: Clock = SYSTEM_CLOCK) {
    this.#limits = limits
    this.#clock = clock
  }

  get inFlight(): number {
    return this.#inFlight
  }

  get queued(): number {
    return this.#waiting.size
  }

  /** Nothing begins for so long: the service said so. */
  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.now() + ms)
  }

  /**
   * Resolves when it is the caller's turn, who disposes what it gets when the call is over.
   *
   * @throws {KeysError} ERR_KEYS_BUSY if too many wait; the signal's reason.
   */
  async enter(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted()
    if (this.#waiting.size >= this.#limits.maxQueued) {
      throw new KeysError('ERR_KEYS_BUSY', { detail: `${this.#waiting.size} operations wait for their turn` })
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter: Waiter = { begin: resolve }
    const onAbort = (): void => {
      if (this.#waiting.delete(waiter)) reject(signal.reason as Error)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiting.add(waiter)
    this.#admit()
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
    let isOver = false
    return {
      [Symbol.dispose]: () => {
        if (isOver) return
        isOver = true
        this.#inFlight--
        this.#admit()
      },
    }
  }

  #admit(): void {
    for (const waiter of this.#waiting) {
      if (this.#inFlight >= this.#limits.maxInFlight) return
      const waitMs = this.#opensInMs()
      if (waitMs > 0) return this.#admitIn(waitMs)
      this.#waiting.delete(waiter)
      this.#inFlight++
      this.#arrival = Math.max(this.#arrival, this.#clock.now()) + 1000 / this.#limits.maxPerSecond
      waiter.begin()
    }
  }

  #opensInMs(): number {
    return Math.max(this.#arrival - 1000, this.#pausedUntil) - this.#clock.now()
  }

  #admitIn(ms: number): void {
    if (this.#willAdmit) return
    this.#willAdmit = true
    this.#clock.after(Math.ceil(ms), () => {
      this.#willAdmit = false
      this.#admit()
    })
  }
}

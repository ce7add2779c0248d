// Asks a home that has failed again and again only now and then, so that those who wait learn at once, and another key
// server can be asked, and the home is not trampled while it comes back.
//
//   closed ──(5 failures in a row)──▶ open ──(time is up)──▶ half-open: one may try
//     ▲                                ▲                        │
//     └──────────(it worked)───────────┼────────────────────────┤
//                                      └──(it failed: twice as long)
import type { Clock } from '@latchkey/core'

const FAILURES = 5
const OPEN_MS = 1000
const MAX_OPEN_MS = 30_000

type State =
  | { readonly name: 'closed'; readonly failures: number }
  | { readonly name: 'open'; readonly until: number; readonly openMs: number }
  | { readonly name: 'half-open'; readonly openMs: number }

export class CircuitBreaker {
  readonly #clock: Clock
  #state: State = { name: 'closed', failures: 0 }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get isOpen(): boolean {
    return this.#state.name !== 'closed'
  }

  /** How long nobody may try; 0: the caller may, and must tell how it went. */
  waitMs(): number {
    const state = this.#state
    switch (state.name) {
      case 'closed':
        return 0
      case 'half-open':
        return state.openMs
      case 'open': {
        const leftMs = state.until - this.#clock.now()
        if (leftMs > 0) return leftMs
        this.#state = { name: 'half-open', openMs: state.openMs }
        return 0
      }
      default:
        return state satisfies never
    }
  }

  succeeded(): void {
    this.#state = { name: 'closed', failures: 0 }
  }

  /** The caller went away before it knew: the next one may try. */
  gaveUp(): void {
    const state = this.#state
    if (state.name === 'half-open')
      this.#state = { name: 'open', until: this.#clock.now(), openMs: state.openMs }
  }

  failed(): void {
    const state = this.#state
    if (state.name === 'closed' && state.failures + 1 < FAILURES) {
      this.#state = { name: 'closed', failures: state.failures + 1 }
    } else if (state.name !== 'open') {
      const openMs = state.name === 'half-open' ? Math.min(2 * state.openMs, MAX_OPEN_MS) : OPEN_MS
      this.#state = { name: 'open', until: this.#clock.now() + openMs, openMs }
    }
  }
}

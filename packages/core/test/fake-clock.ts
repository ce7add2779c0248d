// A clock that goes on when a test says so.
import type { Clock } from '../src/clock.ts'

export class FakeClock implements Clock {
  #now = 0
  readonly #alarms = new Set<{ readonly at: number; readonly action: () => void }>()

  now(): number {
    return this.#now
  }

  after(ms: number, action: () => void): () => void {
    const alarm = { at: this.#now + ms, action }
    this.#alarms.add(alarm)
    return () => this.#alarms.delete(alarm)
  }

  /** Goes on by `ms`, stopping at each alarm, and lets what waits go on as well. */
  async advance(ms: number): Promise<void> {
    await settle()
    const end = this.#now + ms
    for (;;) {
      const [next] = [...this.#alarms].toSorted((a, b) => a.at - b.at)
      if (next === undefined || next.at > end) break
      this.#alarms.delete(next)
      this.#now = next.at
      next.action()
      await settle()
    }
    this.#now = end
    await settle()
  }
}

/** Everything that is ready to go on has gone on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
}

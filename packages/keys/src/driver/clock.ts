// Time as the limits of a driver see it: passed in, so that tests need not wait.

export interface Clock {
  /** Milliseconds that never go back. */
  now(): number
  /** Calls `action` in `ms`, unless it is called off before. */
  after(ms: number, action: () => void): () => void
}

export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after: (ms, action) => {
    const timer = setTimeout(action, ms)
    return () => clearTimeout(timer)
  },
}

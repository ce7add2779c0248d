// Time for what waits: passed in, so that tests and simulations need not wait.

export interface Clock {
  /** Milliseconds that never go back. */
  now(): number
  /** Calls `action` in `ms`, unless it is called off before. */
  after(ms: number, action: () => void): () => void
}

// A new certificate in time, while the key server runs.
//
// The clock is looked at every hour at least, never once for months: it may be set, and a machine may sleep.
import type { ClockMs, Logger } from '@latchkey/core'
import { EnrolmentError } from './errors.ts'

/** Late enough that a certificate is used, early enough that a third of its life is left for failures. */
const DUE_AT = 2 / 3
/** Servers that were enrolled together do not all come back together: each adds up to this part of the life. */
const JITTER = 0.05
const CHECK_MS = 3_600_000
const FIRST_BACK_OFF_MS = 60_000
const MAX_BACK_OFF_MS = 3_600_000
/** What a peer says cannot stop renewal for good. */
const MAX_RETRY_AFTER_MS = 24 * 3_600_000

export interface Validity {
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
}

export interface RenewalOptions {
  /** Of the certificate in its file: somebody else may have put a new one there. */
  readonly validity: () => Validity
  /** Puts a new pair into its files. */
  readonly enrol: (signal: AbortSignal) => Promise<unknown>
  /** Has whoever serves take the pair from its files. */
  readonly reload: () => void | Promise<void>
  readonly logger: Logger
  readonly now?: ClockMs
  /** From 0 to 1. */
  readonly random?: () => number
  /** Calls back after a time of an hour at most; gives what ends the wait. */
  readonly wait?: (ms: number, done: () => void) => () => void
}

/** Runs until it is stopped. */
export interface Renewal extends AsyncDisposable {
  /** Resolves when nothing of it runs any more. */
  stop(): Promise<void>
}

/**
 * Starts to renew: at two thirds of the certificate's life, and again with growing waits until it works. A failure is a
 * log line.
 *
 * @example
 * await using renewal = startRenewal({ validity, enrol: (signal) => enrol({ ...settings, signal }), reload, logger })
 */
export function startRenewal(options: RenewalOptions): Renewal {
  return new ClockedRenewal(options)
}

class ClockedRenewal implements Renewal {
  readonly #options: RenewalOptions
  readonly #now: ClockMs
  readonly #random: () => number
  readonly #wait: NonNullable<RenewalOptions['wait']>
  readonly #dueAt: number
  readonly #stopping = new AbortController()
  #cancelWait: () => void = () => {}
  #running: Promise<void> | undefined
  /** A new pair is in the files and not in use yet. */
  #isReloadOwed = false
  #failures = 0
  #pauseMs = 0
  #pausedUntil = 0

  constructor(options: RenewalOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#random = options.random ?? Math.random
    this.#wait = options.wait ?? waitUnreferenced
    this.#dueAt = DUE_AT + JITTER * this.#random()
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the renewal was stopped'))
    this.#cancelWait()
    await this.#running
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #schedule(): void {
    if (this.#stopping.signal.aborted) return
    this.#cancelWait = this.#wait(Math.min(CHECK_MS, Math.max(0, this.#nextAt() - this.#now())), () => {
      this.#running = this.#check().finally(() => this.#schedule())
    })
  }

  /** When there is something to do next. */
  #nextAt(): number {
    // A clock that was set back must not make a wait of a minute one of years.
    this.#pausedUntil = Math.min(this.#pausedUntil, this.#now() + this.#pauseMs)
    return Math.max(this.#isReloadOwed ? 0 : this.#renewAt(), this.#pausedUntil)
  }

  #renewAt(): number {
    try {
      const { notBefore, notAfter } = this.#options.validity()
      return notBefore + (notAfter - notBefore) * this.#dueAt
    } catch {
      return 0 // unreadable: a new one is needed
    }
  }

  async #check(): Promise<void> {
    if (this.#now() < this.#nextAt()) return
    const { enrol, reload, logger } = this.#options
    try {
      if (!this.#isReloadOwed) await enrol(this.#stopping.signal)
      this.#isReloadOwed = true
      await reload()
      this.#isReloadOwed = false
      this.#failures = 0
      this.#pause(CHECK_MS) // however short the new one's life is, or unreadable: never one after the other
      logger.info('server certificate renewed')
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#failed(error)
    }
  }

  #pause(ms: number): void {
    this.#pauseMs = ms
    this.#pausedUntil = this.#now() + ms
  }

  #failed(error: unknown): void {
    const what = this.#isReloadOwed ? 'renewed, but not taken into use' : 'not renewed'
    const growing = Math.min(MAX_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** Math.min(this.#failures++, 10))
    const asked = error instanceof EnrolmentError ? (error.retryAfterMs ?? 0) : 0
    this.#pause(Math.max(growing * (1 - this.#random() / 4), Math.min(asked, MAX_RETRY_AFTER_MS)))
    const code = error instanceof EnrolmentError ? ` (${error.code})` : ''
    this.#options.logger.error(
      `server certificate ${what}, going on with the old one: ${error instanceof Error ? error.message : 'unknown failure'}${code}; next try in ${Math.ceil(this.#pauseMs / 60_000)} min`,
    )
  }
}

/** Does not keep the process. */
function waitUnreferenced(ms: number, done: () => void): () => void {
  const timer = setTimeout(done, ms)
  timer.unref()
  return () => clearTimeout(timer)
}

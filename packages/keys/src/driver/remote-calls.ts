// Every call to one key's home goes through here: its turn, its deadline, a second try where that can help, and what is
// known of the home's health.
//
// What can cross: the caller's signal, the deadline and the answer. The caller's reason wins over the deadline, and both
// over an answer that comes later.
import { KeysError, type KeysErrorCode } from '../errors.ts'
import { CallBudget, type CallLimits } from './call-budget.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import type { Clock } from '@latchkey/core'
import { SYSTEM_CLOCK } from './system-clock.ts'
import type { DriverObserver, DriverOperation, KeyHomeHealth } from './driver.ts'

const TRIES = 3
/** The first pause between tries is up to so long, each further one up to twice as long. */
const PAUSE_MS = 50

export interface RemoteCallsOptions extends CallLimits {
  /** Names the home in errors and metrics. */
  readonly source: string
  /** One operation with its tries and pauses. */
  readonly timeoutMs: number
  readonly observer?: DriverObserver | undefined
  readonly clock?: Clock
  /** From 0 to 1. */
  readonly random?: () => number
}

export class RemoteCalls {
  readonly source: string
  readonly #options: RemoteCallsOptions
  readonly #clock: Clock
  readonly #budget: CallBudget
  readonly #breaker: CircuitBreaker
  #lastError: KeysError | undefined

  constructor(options: RemoteCallsOptions) {
    this.source = options.source
    this.#options = options
    this.#clock = options.clock ?? SYSTEM_CLOCK
    this.#budget = new CallBudget(options, this.#clock)
    this.#breaker = new CircuitBreaker(this.#clock)
  }

  /** What was seen at the last call. */
  health(): KeyHomeHealth {
    const { inFlight, queued } = this.#budget
    const state = this.#breaker.isOpen ? 'down' : this.#lastError === undefined ? 'up' : 'degraded'
    return { source: this.source, state, detail: this.#lastError?.message, inFlight, queued }
  }

  /**
   * Runs `call` when it is its turn, again if it fails with an error that may go away.
   *
   * @param call throws only {@link KeysError}s, and gives up when its signal says so.
   * @throws {KeysError} of the last try, ERR_KEYS_DEADLINE, ERR_KEYS_BUSY; the caller's reason.
   */
  async run<T>(
    operation: DriverOperation,
    call: (signal: AbortSignal) => Promise<T>,
    caller?: AbortSignal,
  ): Promise<T> {
    const deadline = AbortSignal.timeout(this.#options.timeoutMs)
    const signal = caller === undefined ? deadline : AbortSignal.any([caller, deadline])
    const endsAt = this.#clock.now() + this.#options.timeoutMs
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(operation, call, signal)
      } catch (cause) {
        if (caller?.aborted === true) throw caller.reason
        const error = deadline.aborted ? this.#late(cause) : cause
        if (!(error instanceof KeysError)) throw error
        const pauseMs = this.#pauseMs(error, attempt)
        const isWorthIt = error.isTransient && !this.#breaker.isOpen && this.#clock.now() + pauseMs < endsAt
        if (attempt === TRIES || !isWorthIt) throw error
        this.#options.observer?.retried?.(this.source, error.code)
        await this.#pause(pauseMs, signal).catch(() => {
          throw caller?.aborted === true ? caller.reason : this.#late(error)
        })
      }
    }
  }

  async #once<T>(
    operation: DriverOperation,
    call: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    using _turn = await this.#budget.enter(signal)
    const restMs = this.#breaker.waitMs()
    if (restMs > 0) throw this.#isDown(restMs)
    const startedAt = this.#clock.now()
    try {
      const result = await call(signal)
      signal.throwIfAborted() // whoever asked has an answer already
      this.#breaker.succeeded()
      this.#lastError = undefined
      this.#told(operation, startedAt, undefined)
      return result
    } catch (cause) {
      const error = signal.aborted ? undefined : asKeysError(cause, this.source)
      this.#remember(error, signal)
      this.#told(operation, startedAt, error?.code ?? 'ERR_KEYS_DEADLINE')
      throw error ?? cause
    }
  }

  /** A home that is too busy is a home that works; one that refuses works as well. */
  #remember(error: KeysError | undefined, signal: AbortSignal): void {
    if (error === undefined && !isTimeout(signal.reason)) return this.#breaker.gaveUp()
    this.#lastError = error ?? this.#late(undefined)
    if (error === undefined || (error.isTransient && error.code !== 'ERR_KEYS_BUSY')) this.#breaker.failed()
    else this.#breaker.succeeded()
    if (error?.retryAfterMs !== undefined) this.#budget.pause(error.retryAfterMs)
  }

  #told(operation: DriverOperation, startedAt: number, error: KeysErrorCode | undefined): void {
    const durationMs = this.#clock.now() - startedAt
    this.#options.observer?.called?.({ source: this.source, operation, error, durationMs })
  }

  /** Full jitter, so that those who failed together do not come back together. */
  #pauseMs({ retryAfterMs = 0 }: KeysError, attempt: number): number {
    const random = this.#options.random ?? Math.random
    return retryAfterMs + random() * PAUSE_MS * 2 ** (attempt - 1)
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const callOff = this.#clock.after(ms, resolve)
    const onAbort = (): void => {
      callOff()
      reject(signal.reason as Error)
    }
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    return promise.finally(() => signal.removeEventListener('abort', onAbort))
  }

  #late(cause: unknown): KeysError {
    return new KeysError('ERR_KEYS_DEADLINE', {
      path: this.source,
      detail: `no answer within ${this.#options.timeoutMs} ms`,
      cause,
    })
  }

  #isDown(restMs: number): KeysError {
    return new KeysError('ERR_KEYS_UNAVAILABLE', {
      path: this.source,
      detail: `it failed again and again and is asked again in ${Math.ceil(restMs)} ms; last: ${this.#lastError?.message ?? 'no answer'}`,
      retryAfterMs: restMs,
    })
  }
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError'
}

function asKeysError(cause: unknown, source: string): KeysError {
  if (cause instanceof KeysError) return cause
  const detail = cause instanceof Error ? cause.message : 'unknown failure'
  return new KeysError('ERR_KEYS_UNAVAILABLE', { path: source, detail, cause })
}

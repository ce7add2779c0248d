// What is counted of keys that are elsewhere: every request that a service may charge for, how long it took, what was
// tried again, what was done to make a home work again, and how each home is.
import type { Counter, Histogram, MetricRegistry } from '@latchkey/core'
import type { DriverObserver, KeyHomeHealth } from '@latchkey/keys'

type DriverCall = Parameters<NonNullable<DriverObserver['called']>>[0]

/** 1 ms, doubled up to 16 s: a smart card takes a second. */
const BUCKETS = Array.from({ length: 15 }, (_, index) => 0.001 * 2 ** index)
const STATES = ['up', 'degraded', 'down'] as const

export class KeyHomeMetrics implements DriverObserver {
  readonly #calls: Counter
  readonly #durations: Histogram
  readonly #retries: Counter
  readonly #recoveries: Counter

  /** @param health asked at each snapshot. */
  constructor(registry: MetricRegistry, health: () => readonly KeyHomeHealth[]) {
    this.#calls = registry.counter('latchkey_key_home_calls_total', {
      help: 'Requests to the home of a key outside this process, the repeated ones too: what a cloud service charges for.',
      labelNames: ['key', 'operation', 'result'],
    })
    this.#durations = registry.histogram('latchkey_key_home_call_seconds', {
      help: 'Seconds until the home of a key answered.',
      labelNames: ['key', 'operation'],
      buckets: BUCKETS,
    })
    this.#retries = registry.counter('latchkey_key_home_retries_total', {
      help: 'Operations that were tried again.',
      labelNames: ['home', 'cause'],
    })
    this.#recoveries = registry.counter('latchkey_key_home_recoveries_total', {
      help: 'Times that a home works again, by what it took.',
      labelNames: ['home', 'step'],
    })
    const state = registry.gauge('latchkey_key_home_state', {
      help: '1 for the state that the home is in, as the worst of the processes sees it.',
      labelNames: ['home', 'state'],
      merge: 'max',
    })
    const inFlight = registry.gauge('latchkey_key_home_in_flight', {
      help: 'Operations under way.',
      labelNames: ['home'],
    })
    const queued = registry.gauge('latchkey_key_home_queued', {
      help: 'Operations that wait for their turn.',
      labelNames: ['home'],
    })
    registry.beforeSnapshot(() => {
      for (const home of health()) {
        for (const each of STATES) state.set(state.series(home.source, each), home.state === each ? 1 : 0)
        inFlight.set(inFlight.series(home.source), home.inFlight)
        queued.set(queued.series(home.source), home.queued)
      }
    })
  }

  called({ source, operation, error, durationMs }: DriverCall): void {
    this.#calls.add(this.#calls.series(source, operation, error ?? 'ok'))
    this.#durations.observe(this.#durations.series(source, operation), durationMs / 1000)
  }

  retried(source: string, cause: string): void {
    this.#retries.add(this.#retries.series(source, cause))
  }

  recovered(source: string, step: string): void {
    this.#recoveries.add(this.#recoveries.series(source, step))
  }
}

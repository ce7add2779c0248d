// What several processes have counted in all, those that have ended included: a sum of counters must not fall because one
// of its processes is gone, or a reader takes what is left for new.
import { mergeMetrics } from './metrics-text.ts'
import type { MetricSnapshot } from './metrics.ts'

export class MetricHistory {
  /** The last snapshot of each process, by its id. */
  readonly #latest = new Map<number, readonly MetricSnapshot[]>()
  #ended: readonly MetricSnapshot[] = []

  /**
   * Takes what processes count at the moment. Those that are not among `alive` have ended: their counts stay, their
   * gauges go, and what is still heard of them is too late.
   */
  update(
    alive: ReadonlySet<number>,
    processes: Iterable<{ readonly processId: number; readonly metrics: readonly MetricSnapshot[] }>,
  ): void {
    for (const { processId, metrics } of processes) {
      if (alive.has(processId)) this.#latest.set(processId, metrics)
    }
    for (const [processId, metrics] of this.#latest) {
      if (alive.has(processId)) continue
      this.#latest.delete(processId)
      this.#ended = mergeMetrics([this.#ended, metrics.filter(({ type }) => type !== 'gauge')])
    }
  }

  /** For `renderMetrics`; of a process that was not heard of lately what it said last. */
  snapshots(): (readonly MetricSnapshot[])[] {
    return [this.#ended, ...this.#latest.values()]
  }
}

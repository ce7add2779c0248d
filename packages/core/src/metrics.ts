// Counters, gauges and histograms of one process. Observing is an addition into a typed array: where a label set is
// counted is looked up once, outside of the hot path.
import { type SeriesIndex, type SeriesSnapshot, SeriesTable } from './metric-series.ts'

export type MetricType = 'counter' | 'gauge' | 'histogram'
/** What a gauge of several processes is together. Counters and histograms are always the sum. */
export type GaugeMerge = 'sum' | 'max' | 'min'

/** A metric as plain JSON: can be sent to another process and put beside its twin there. */
export interface MetricSnapshot {
  readonly name: string
  readonly help: string
  readonly type: MetricType
  readonly labelNames: readonly string[]
  /** Of gauges. */
  readonly merge?: GaugeMerge
  /** Of histograms: upper bounds, without the infinite one. */
  readonly buckets?: readonly number[]
  readonly series: readonly SeriesSnapshot[]
}

export interface MetricOptions {
  /** One sentence for people. */
  readonly help: string
  readonly labelNames?: readonly string[]
}

export interface GaugeOptions extends MetricOptions {
  /** Default: sum. */
  readonly merge?: GaugeMerge
}

export interface HistogramOptions extends MetricOptions {
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[]
}

export interface MetricRegistryOptions {
  /** Label sets of one metric; more are counted nowhere, and {@link MetricRegistry.refusedSeries} grows. Default: 2000. */
  readonly maxSeries?: number
}

/** https://prometheus.io/docs/concepts/data_model/ */
const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LABEL_NAME = /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/

class Metric {
  protected readonly table: SeriesTable

  constructor(table: SeriesTable) {
    this.table = table
  }

  /** Where observations with these label values go: keep it, do not ask each time. */
  series(...labels: readonly string[]): SeriesIndex {
    return this.table.index(labels)
  }

  /** Forgets a label set: whoever still has its index must not use it any more. */
  remove(series: SeriesIndex): void {
    this.table.remove(series)
  }
}

export class Counter extends Metric {
  add(series: SeriesIndex, amount = 1): void {
    const { values } = this.table
    values[series] = (values[series] as number) + amount
  }

  /** For what is counted elsewhere, by the system for instance. */
  setTotal(series: SeriesIndex, total: number): void {
    this.table.values[series] = total
  }
}

export class Gauge extends Metric {
  /** A value that is no finite number is not shown. */
  set(series: SeriesIndex, value: number): void {
    this.table.values[series] = value
  }
}

export class Histogram extends Metric {
  readonly #buckets: Float64Array

  constructor(table: SeriesTable, buckets: readonly number[]) {
    super(table)
    this.#buckets = Float64Array.from(buckets)
  }

  observe(series: SeriesIndex, value: number): void {
    const buckets = this.#buckets
    const { values } = this.table
    let bucket = 0
    while (bucket < buckets.length && value > (buckets[bucket] as number)) bucket++
    const sum = series + buckets.length + 1
    values[series + bucket] = (values[series + bucket] as number) + 1
    values[sum] = (values[sum] as number) + value
  }
}

/**
 * The metrics of one process.
 *
 * @example
 * const registry = new MetricRegistry()
 * const requests = registry.counter('requests', { help: 'Requests by kind.', labelNames: ['kind'] })
 * const pings = requests.series('ping')
 * requests.add(pings)
 * renderMetrics([registry.snapshot()])
 */
export class MetricRegistry {
  readonly #maxSeries: number
  readonly #metrics = new Map<string, { about: Omit<MetricSnapshot, 'series'>; table: SeriesTable }>()
  readonly #collectors: (() => void)[] = []
  #refusedSeries = 0

  constructor({ maxSeries = 2000 }: MetricRegistryOptions = {}) {
    this.#maxSeries = maxSeries
  }

  /** How often a label set was asked for beyond the limit. */
  get refusedSeries(): number {
    return this.#refusedSeries
  }

  counter(name: string, options: MetricOptions): Counter {
    return new Counter(this.#register(name, 'counter', options, 1))
  }

  gauge(name: string, { merge = 'sum', ...options }: GaugeOptions): Gauge {
    return new Gauge(this.#register(name, 'gauge', options, 1, { merge }))
  }

  /** A gauge without labels: what sets it. */
  number(name: string, options: Omit<GaugeOptions, 'labelNames'>): (value: number) => void {
    const gauge = this.gauge(name, options)
    const series = gauge.series()
    return (value) => gauge.set(series, value)
  }

  /** @throws {RangeError} if the buckets are not ascending finite numbers. */
  histogram(name: string, { buckets, ...options }: HistogramOptions): Histogram {
    if (
      buckets.some((bound, index) => !Number.isFinite(bound) || bound <= (buckets[index - 1] ?? -Infinity))
    ) {
      throw new RangeError(`${name}: buckets must be finite and ascending`)
    }
    const table = this.#register(name, 'histogram', options, buckets.length + 2, { buckets: [...buckets] })
    return new Histogram(table, buckets)
  }

  /** Has `collect` set what is only known when somebody looks; called before each snapshot. */
  beforeSnapshot(collect: () => void): void {
    this.#collectors.push(collect)
  }

  snapshot(): MetricSnapshot[] {
    for (const collect of this.#collectors) collect()
    return [...this.#metrics.values()].map(({ about, table }) => ({
      ...about,
      series: table.snapshot().filter(({ values }) => values.every(Number.isFinite)),
    }))
  }

  #register(
    name: string,
    type: MetricType,
    { help, labelNames = [] }: MetricOptions,
    width: number,
    more: Pick<MetricSnapshot, 'merge' | 'buckets'> = {},
  ): SeriesTable {
    if (!METRIC_NAME.test(name)) throw new RangeError(`${name}: not the name of a metric`)
    const badLabel = labelNames.find((label) => !LABEL_NAME.test(label) || label === 'le')
    if (badLabel !== undefined) throw new RangeError(`${name}: ${badLabel} cannot be the name of a label`)
    if (this.#metrics.has(name)) throw new RangeError(`${name}: there is such a metric already`)
    const table = new SeriesTable(labelNames.length, width, this.#maxSeries, () => {
      this.#refusedSeries++
    })
    if (labelNames.length === 0) table.index([]) // shown as 0 before anything happened
    this.#metrics.set(name, { about: { name, help, type, labelNames: [...labelNames], ...more }, table })
    return table
  }
}

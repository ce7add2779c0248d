// Snapshots of one or several processes as text for Prometheus, format 0.0.4.
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
import type { SeriesSnapshot } from './metric-series.ts'
import type { GaugeMerge, MetricSnapshot } from './metrics.ts'

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export interface RenderOptions {
  /** Shows each counter whose name does not end in `_total` a second time under a name that does. Default: false. */
  readonly totalTwins?: boolean
}

/**
 * Writes the metrics of several processes as those of one, sorted by name; a metric without a label set is left out.
 *
 * @throws {RangeError} if two processes mean different things by one name.
 */
export function renderMetrics(
  snapshots: readonly (readonly MetricSnapshot[])[],
  { totalTwins = false }: RenderOptions = {},
): string {
  const merged = mergeMetrics(snapshots)
  const shown = totalTwins ? merged.flatMap(withTwin) : merged
  return shown
    .filter(({ series }) => series.length > 0)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(metricText)
    .join('')
}

/** Label sets of the same values become one: counters and histograms are added, gauges by their own rule. */
export function mergeMetrics(snapshots: readonly (readonly MetricSnapshot[])[]): MetricSnapshot[] {
  const byName = new Map<string, { about: MetricSnapshot; series: Map<string, SeriesSnapshot> }>()
  for (const metric of snapshots.flat()) {
    const entry = byName.get(metric.name) ?? { about: metric, series: new Map<string, SeriesSnapshot>() }
    byName.set(metric.name, entry)
    if (shapeOf(metric) !== shapeOf(entry.about)) {
      throw new RangeError(`${metric.name}: two metrics of one name that are not the same`)
    }
    for (const series of metric.series) {
      const key = JSON.stringify(series.labels)
      const before = entry.series.get(key)
      entry.series.set(key, before === undefined ? series : joined(before, series, metric.merge ?? 'sum'))
    }
  }
  return [...byName.values()].map(({ about, series }) => ({ ...about, series: [...series.values()] }))
}

function shapeOf({ type, labelNames, merge, buckets }: MetricSnapshot): string {
  return JSON.stringify([type, labelNames, merge, buckets])
}

const JOIN: Readonly<Record<GaugeMerge, (a: number, b: number) => number>> = {
  sum: (a, b) => a + b,
  max: Math.max,
  min: Math.min,
}

function joined(a: SeriesSnapshot, b: SeriesSnapshot, merge: GaugeMerge): SeriesSnapshot {
  return {
    labels: a.labels,
    values: a.values.map((value, index) => JOIN[merge](value, b.values[index] as number)),
  }
}

function withTwin(metric: MetricSnapshot): MetricSnapshot[] {
  const { name, type } = metric
  if (type !== 'counter' || name.endsWith('_total')) return [metric]
  return [metric, { ...metric, name: `${name}_total` }]
}

function metricText(metric: MetricSnapshot): string {
  const { name, help, type, labelNames, buckets = [] } = metric
  const lines = [`# HELP ${name} ${escaped(help, /[\\\n]/g)}\n`, `# TYPE ${name} ${type}\n`]
  const series = metric.series
    .map(({ labels, values }) => ({
      pairs: labelNames.map((label, index) => pair(label, labels[index])),
      values,
    }))
    .toSorted((a, b) => (a.pairs.join(',') < b.pairs.join(',') ? -1 : 1))
  for (const { pairs, values } of series) {
    if (type !== 'histogram') lines.push(sample(name, pairs, values[0]))
    else lines.push(...histogramLines(name, pairs, buckets, values))
  }
  return lines.join('')
}

/** Buckets are cumulative in the text: each counts all that is not above its bound. */
function histogramLines(
  name: string,
  pairs: readonly string[],
  buckets: readonly number[],
  values: readonly number[],
): string[] {
  let count = 0
  const lines = [...buckets, '+Inf'].map((bound, index) => {
    count += values[index] as number
    return sample(`${name}_bucket`, [...pairs, pair('le', String(bound))], count)
  })
  return [...lines, sample(`${name}_sum`, pairs, values.at(-1)), sample(`${name}_count`, pairs, count)]
}

function sample(name: string, pairs: readonly string[], value: number | undefined): string {
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`
}

function pair(label: string, value: string | undefined): string {
  return `${label}="${escaped(value ?? '', /[\\\n"]/g)}"`
}

function escaped(text: string, special: RegExp): string {
  return text.replaceAll(special, (char) => (char === '\n' ? String.raw`\n` : `\\${char}`))
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { MetricHistory } from './metric-history.ts'
import { type MetricSnapshot, MetricRegistry } from './metrics.ts'
import { mergeMetrics, renderMetrics } from './metrics-text.ts'

const text = (registry: MetricRegistry): string => renderMetrics([registry.snapshot()])

test('a counter without labels is 0 before anything happened; one with labels is not there', () => {
  const registry = new MetricRegistry()
  registry.counter('ends', { help: 'Ends.' })
  registry.counter('requests', { help: 'Requests.', labelNames: ['kind'] })
  assert.equal(text(registry), '# HELP ends Ends.\n# TYPE ends counter\nends 0\n')
  assert.deepEqual(
    registry.snapshot().map(({ name }) => name),
    ['ends', 'requests'],
  )
})

test('metrics are sorted by name and label sets by their text', () => {
  const registry = new MetricRegistry()
  const requests = registry.counter('requests', { help: 'Requests.', labelNames: ['kind', 'result'] })
  const sign = requests.series('sign', 'ok')
  requests.add(sign)
  requests.add(requests.series('ping', 'ok'), 2)
  requests.add(sign)
  const size = registry.gauge('a_size', { help: 'Size.' })
  size.set(size.series(), -1.5)
  assert.equal(
    text(registry),
    `# HELP a_size Size.
# TYPE a_size gauge
a_size -1.5
# HELP requests Requests.
# TYPE requests counter
requests{kind="ping",result="ok"} 2
requests{kind="sign",result="ok"} 2
`,
  )
})

test('a histogram counts up to and with each bound, cumulatively', () => {
  const registry = new MetricRegistry()
  const duration = registry.histogram('duration', { help: 'D.', labelNames: ['type'], buckets: [0.5, 1] })
  const series = duration.series('a')
  for (const value of [0.25, 0.5, 0.75, 1, 2, 4]) duration.observe(series, value)
  assert.equal(
    text(registry),
    `# HELP duration D.
# TYPE duration histogram
duration_bucket{type="a",le="0.5"} 2
duration_bucket{type="a",le="1"} 4
duration_bucket{type="a",le="+Inf"} 6
duration_sum{type="a"} 8.5
duration_count{type="a"} 6
`,
  )
})

test('what would break a line is escaped, in values and in help', () => {
  const registry = new MetricRegistry()
  const counter = registry.counter('a', { help: 'one\ntwo \\ "three"', labelNames: ['name'] })
  counter.add(counter.series('x"\\\ny\ud800'))
  assert.equal(
    text(registry),
    '# HELP a one\\ntwo \\\\ "three"\n# TYPE a counter\na{name="x\\"\\\\\\ny\ufffd"} 1\n',
  )
})

test('label sets beyond the limit are counted nowhere, and that is told', () => {
  const registry = new MetricRegistry({ maxSeries: 2 })
  const counter = registry.counter('a', { help: '', labelNames: ['name'] })
  for (const name of ['x', 'y', 'z', 'z']) counter.add(counter.series(name))
  assert.deepEqual(
    registry.snapshot()[0]?.series.map(({ labels, values }) => [...labels, ...values]),
    [
      ['x', 1],
      ['y', 1],
    ],
  )
  assert.equal(registry.refusedSeries, 2)
  counter.remove(counter.series('x'))
  counter.add(counter.series('z'))
  assert.match(text(registry), /^a\{name="z"\} 1$/m)
  assert.doesNotMatch(text(registry), /"x"/)
})

test('an index stays good while many label sets are added', () => {
  const registry = new MetricRegistry()
  const counter = registry.counter('a', { help: '', labelNames: ['name'] })
  const first = counter.series('0')
  for (let each = 1; each < 1000; each++) counter.add(counter.series(String(each)), each)
  counter.add(first, 7)
  assert.match(text(registry), /^a\{name="0"\} 7$/m)
  assert.match(text(registry), /^a\{name="999"\} 999$/m)
})

test('a gauge that is no finite number is not shown, and a long label value is cut', () => {
  const registry = new MetricRegistry()
  const gauge = registry.gauge('a', { help: '', labelNames: ['name'] })
  gauge.set(gauge.series('x'), Number.NaN)
  gauge.set(gauge.series('y'.repeat(5000)), 1)
  assert.match(text(registry), /^# HELP a \n# TYPE a gauge\na\{name="y{1024}"\} 1\n$/)
})

test('what is only known when somebody looks is asked for then', () => {
  const registry = new MetricRegistry()
  const gauge = registry.gauge('a', { help: '' })
  let looks = 0
  registry.beforeSnapshot(() => gauge.set(gauge.series(), ++looks))
  assert.match(text(registry), /^a 1$/m)
  assert.match(text(registry), /^a 2$/m)
})

/** One process of several: the same metrics, other numbers. */
function process(connections: number, sizes: number, kind: string): MetricSnapshot[] {
  const registry = new MetricRegistry()
  const requests = registry.counter('requests', { help: 'R.', labelNames: ['kind'] })
  requests.add(requests.series(kind), connections)
  for (const merge of ['sum', 'max', 'min'] as const) {
    const gauge = registry.gauge(`gauge_${merge}`, { help: 'G.', merge })
    gauge.set(gauge.series(), sizes)
  }
  const duration = registry.histogram('duration', { help: 'D.', buckets: [1] })
  duration.observe(duration.series(), sizes)
  return JSON.parse(JSON.stringify(registry.snapshot())) as MetricSnapshot[]
}

test('several processes are one: counters and histograms are added, gauges by their rule', () => {
  const merged = renderMetrics([process(1, 0.5, 'a'), process(2, 3, 'a'), process(4, 2, 'b')])
  for (const line of [
    'requests{kind="a"} 3',
    'requests{kind="b"} 4',
    'gauge_sum 5.5',
    'gauge_max 3',
    'gauge_min 0.5',
    'duration_bucket{le="1"} 1',
    'duration_bucket{le="+Inf"} 3',
    'duration_sum 5.5',
    'duration_count 3',
  ])
    assert.ok(merged.split('\n').includes(line), `${line} in\n${merged}`)
})

test('merging one process changes nothing, and the order of processes does not matter', () => {
  const kinds = fc.constantFrom('a', 'b')
  const processes = fc.array(fc.tuple(fc.nat(9), fc.nat(9), kinds), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(processes, (list) => {
      const snapshots = list.map((each) => process(...each))
      assert.equal(renderMetrics(snapshots), renderMetrics(snapshots.toReversed()))
      assert.equal(renderMetrics([mergeMetrics(snapshots)]), renderMetrics(snapshots))
    }),
    { numRuns: 50 },
  )
})

test('two metrics of one name that are not the same cannot be merged', () => {
  const other = new MetricRegistry()
  other.gauge('requests', { help: '' })
  assert.throws(() => renderMetrics([process(1, 1, 'a'), other.snapshot()]), RangeError)
})

test('twins of counters end in _total', () => {
  const registry = new MetricRegistry()
  registry.counter('a', { help: '' })
  registry.counter('b_total', { help: '' })
  registry.gauge('c', { help: '' })
  const twins = renderMetrics([registry.snapshot()], { totalTwins: true })
  assert.deepEqual(twins.match(/^\w+ \d$/gm), ['a 0', 'a_total 0', 'b_total 0', 'c 0'])
})

for (const [name, register] of [
  ['a bad name', (registry: MetricRegistry) => registry.counter('a-b', { help: '' })],
  ['a name twice', (registry: MetricRegistry) => registry.gauge('there', { help: '' })],
  ['a label le', (registry: MetricRegistry) => registry.counter('a', { help: '', labelNames: ['le'] })],
  ['a label __a', (registry: MetricRegistry) => registry.counter('a', { help: '', labelNames: ['__a'] })],
  ['buckets that fall', (registry: MetricRegistry) => registry.histogram('a', { help: '', buckets: [2, 1] })],
  [
    'an infinite bucket',
    (registry: MetricRegistry) => registry.histogram('a', { help: '', buckets: [Infinity] }),
  ],
  [
    'a missing label value',
    (registry: MetricRegistry) => registry.counter('a', { help: '', labelNames: ['b'] }).series(),
  ],
] as const) {
  test(`${name} is a caller's bug`, () => {
    const registry = new MetricRegistry()
    registry.counter('there', { help: '' })
    assert.throws(() => register(registry), RangeError)
  })
}

test('counts of a process that ends stay, its gauges go; one that is silent is shown as it was', () => {
  const history = new MetricHistory()
  const of = (processId: number, requests: number, size: number) => ({
    processId,
    metrics: process(requests, size, 'a'),
  })
  const shown = (): string[] => renderMetrics(history.snapshots()).split('\n')
  history.update(new Set([1, 2]), [of(1, 5, 1), of(2, 7, 2)])
  assert.ok(shown().includes('requests{kind="a"} 12') && shown().includes('gauge_sum 3'))
  history.update(new Set([2, 3]), [of(3, 1, 4)])
  assert.ok(shown().includes('requests{kind="a"} 13') && shown().includes('gauge_sum 6'))
  assert.ok(shown().includes('duration_count 3'))
  history.update(new Set([2, 3]), [of(1, 5, 1)]) // an answer that was under way when its process ended
  assert.ok(shown().includes('requests{kind="a"} 13'))
  history.update(new Set(), [])
  assert.ok(shown().includes('requests{kind="a"} 13'))
  assert.ok(!shown().some((line) => line.startsWith('gauge_')))
})

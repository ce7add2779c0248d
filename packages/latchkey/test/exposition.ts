// Prometheus text 0.0.4, read strictly: whatever a lenient reader would forgive is an error here.
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
import assert from 'node:assert/strict'

export interface Family {
  readonly type: string
  readonly samples: readonly Sample[]
}

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,(?=.)|$)/y

/** Metric families by name. */
export function parseExposition(text: string): ReadonlyMap<string, Family> {
  assert.ok(text.endsWith('\n'), 'the last line ends with a line feed')
  const families = new Map<string, { type: string; samples: Sample[] }>()
  let current = ''
  let helped = ''
  for (const line of text.slice(0, -1).split('\n')) {
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (keyword === 'HELP') {
      helped = name
    } else if (keyword === 'TYPE') {
      assert.equal(helped, name, 'help comes before the type')
      assert.ok(!families.has(name), `${name} is there twice`)
      assert.match(rest, /^(counter|gauge|histogram)$/)
      families.set(name, { type: rest, samples: [] })
      current = name
    } else {
      const family = families.get(current) ?? assert.fail(`a sample without a type: ${line}`)
      family.samples.push(parseSample(line, current, family.type))
    }
  }
  for (const [name, family] of families) checkFamily(name, family)
  return families
}

function parseSample(line: string, family: string, type: string): Sample {
  const [, name = '', labelText = '', number = ''] = SAMPLE.exec(line) ?? assert.fail(`no sample: ${line}`)
  const suffix = name.startsWith(family) ? name.slice(family.length) : 'of another family'
  assert.match(suffix, type === 'histogram' ? /^_(bucket|sum|count)$/ : /^$/, line)
  assert.match(number, /^(-?\d+(\.\d+)?(e[+-]\d+)?|[+-]Inf|NaN)$/)
  const labels: Record<string, string> = {}
  LABEL.lastIndex = 0
  while (LABEL.lastIndex < labelText.length) {
    const [, label = '', value = ''] = LABEL.exec(labelText) ?? assert.fail(`labels of ${line}`)
    assert.ok(!(label in labels), `${label} twice in ${line}`)
    labels[label] = value.replaceAll(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char))
  }
  return { name, labels, value: Number(number) }
}

function checkFamily(name: string, { type, samples }: Family): void {
  assert.ok(samples.length > 0, `${name} has no sample`)
  const keys = samples.map((sample) => sample.name + JSON.stringify(sample.labels))
  assert.equal(new Set(keys).size, keys.length, `${name}: a sample is there twice`)
  if (type === 'counter') assert.ok(samples.every(({ value }) => value >= 0))
  if (type === 'histogram') checkHistogram(name, samples)
}

function checkHistogram(name: string, samples: readonly Sample[]): void {
  const groups = Map.groupBy(samples, ({ labels }) => JSON.stringify({ ...labels, le: undefined }))
  for (const group of groups.values()) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels }) => (labels['le'] === '+Inf' ? Infinity : Number(labels['le'])))
    assert.deepEqual(
      bounds,
      bounds.toSorted((a, b) => a - b),
      `${name}: bounds ascend`,
    )
    assert.equal(bounds.at(-1), Infinity)
    const counts = buckets.map(({ value }) => value)
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => a - b),
      `${name}: buckets are cumulative`,
    )
    assert.equal(group.find((sample) => sample.name === `${name}_count`)?.value, counts.at(-1))
    assert.ok(group.some((sample) => sample.name === `${name}_sum`))
  }
}

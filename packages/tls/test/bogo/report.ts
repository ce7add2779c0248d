// Turns what the runner wrote with -json-output into numbers:
//   node report.ts results.json [names.json]
// With `names.json`, from a run with LATCHKEY_BOGO_NAMES=1, also how many tests were left out and for which reason.
import { readFileSync } from 'node:fs'

/** Of the runner's JSON, which has one entry a test that was started. */
export interface Results {
  readonly tests: Readonly<Record<string, { readonly actual: string; readonly error?: string }>>
}

/** DisabledTests of skipped.json: from a pattern of names to the feature that is not there. */
type Reasons = Readonly<Record<string, string>>

export interface Report {
  readonly passed: string[]
  readonly failed: string[]
  /** Started, and the shim said that it cannot. */
  readonly unimplemented: string[]
  /** By reason. */
  readonly skipped: ReadonlyMap<string, string[]>
}

/** @param names every test of a TLS server over TCP; undefined: those that were started. */
export function report(results: Results, names: readonly string[] | undefined, reasons: Reasons): Report {
  const patterns = Object.entries(reasons).map(([pattern, reason]) => ({ regex: regexOf(pattern), reason }))
  const all = names ?? Object.keys(results.tests)
  const started = (outcome: string): string[] => all.filter((name) => results.tests[name]?.actual === outcome)
  const skipped = new Map<string, string[]>()
  for (const name of all) {
    if (Object.hasOwn(results.tests, name)) continue
    const reason = patterns.find(({ regex }) => regex.test(name))?.reason ?? 'not started'
    skipped.set(reason, [...(skipped.get(reason) ?? []), name])
  }
  return { passed: started('PASS'), failed: started('FAIL'), unimplemented: started('SKIP'), skipped }
}

/** Go's filepath.Match, as far as skipped.json uses it: `*`, and classes as `[^M]`, any character but M. */
function regexOf(pattern: string): RegExp {
  const literal = (text: string): string => text.replaceAll(/[.+?${}()|\\]/g, String.raw`\$&`)
  return new RegExp(`^${pattern.split('*').map(literal).join('.*')}$`)
}

/** A run with LATCHKEY_BOGO_NAMES=1 passes over what is not of a TLS server over TCP, and fails at what is. */
function serverTests({ tests }: Results): string[] {
  return Object.keys(tests).filter((name) => tests[name]?.actual !== 'SKIP')
}

function print({ passed, failed, unimplemented, skipped }: Report, hasNames: boolean): void {
  const left = [...skipped].toSorted(([, a], [, b]) => b.length - a.length)
  const count = left.reduce((sum, [, names]) => sum + names.length, 0)
  console.log(`run            ${passed.length + failed.length}`)
  console.log(`  passed       ${passed.length}`)
  console.log(`  failed       ${failed.length}`)
  if (!hasNames) return
  console.log(`unimplemented  ${unimplemented.length}`)
  console.log(`skipped        ${count}`)
  for (const [reason, names] of left) console.log(`  ${String(names.length).padStart(4)}  ${reason}`)
  for (const name of failed) console.log(`failed: ${name}`)
  for (const name of unimplemented) console.log(`unimplemented: ${name}`)
}

if (import.meta.main) {
  const [resultsFile = '', namesFile] = process.argv.slice(2)
  const read = (file: string | URL): unknown => JSON.parse(readFileSync(file, 'utf8'))
  const names = namesFile === undefined ? undefined : serverTests(read(namesFile) as Results)
  const { DisabledTests } = read(new URL('skipped.json', import.meta.url)) as { DisabledTests: Reasons }
  print(report(read(resultsFile) as Results, names, DisabledTests), names !== undefined)
}

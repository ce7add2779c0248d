// One line a bench, printed as a table and written to bench/out/latest.json.
import { mkdirSync, writeFileSync } from 'node:fs'

/** What a bench measured. `ratio` = ours against the peer of the same run. */
export interface Result {
  readonly id: string
  readonly value: number
  readonly unit: string
  /** What it was measured against, and that one's value. */
  readonly peer: { readonly name: string; readonly value: number }
  readonly ratio: number
  /** The ratio we hold ourselves to; null: reported only. */
  readonly goal: number | null
  /** Whether the goal is the most the ratio may be, not the least. */
  readonly isLessBetter: boolean
  readonly met: boolean
  /** Lowest and highest ratio of the rounds. */
  readonly spread: readonly [number, number]
  /** Where the rest of the time goes. */
  readonly note: string
}

export interface Bench {
  readonly id: string
  readonly about: string
  run(): Promise<Result[]>
}

export interface Round {
  readonly ours: number
  readonly peer: number
}

export interface Summary extends Pick<Result, 'id' | 'unit' | 'goal' | 'note'> {
  readonly peer: string
  /** Default false. */
  readonly isLessBetter?: boolean
}

/** The medians of interleaved rounds. */
export function summarise(
  { id, unit, peer, goal, isLessBetter = false, note }: Summary,
  rounds: readonly Round[],
): Result {
  const ratios = rounds.map((round) => round.ours / round.peer)
  const ratio = median(ratios)
  return {
    id,
    value: median(rounds.map((round) => round.ours)),
    unit,
    peer: { name: peer, value: median(rounds.map((round) => round.peer)) },
    ratio,
    goal,
    isLessBetter,
    met: goal === null || (isLessBetter ? ratio <= goal : ratio >= goal),
    spread: [Math.min(...ratios), Math.max(...ratios)],
    note,
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

export function printResults(results: readonly Result[]): void {
  const rows = results.map(({ id, value, unit, peer, ratio, goal, isLessBetter, met, spread }) => [
    id,
    `${format(value)} ${unit}`,
    `${format(peer.value)} (${peer.name})`,
    `${ratio.toFixed(2)} [${spread[0].toFixed(2)}–${spread[1].toFixed(2)}]`,
    goal === null ? 'reported' : `${isLessBetter ? '≤' : '≥'} ${goal}`,
    goal === null ? '' : met ? 'met' : 'NOT MET',
  ])
  const table = [['bench', 'ours', 'peer', 'ratio [spread]', 'goal', ''], ...rows]
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? []
  for (const row of table)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
  console.log('')
  for (const { id, note } of results) console.log(`${id}: ${note}`)
}

function format(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2)
}

export function writeResults(results: readonly Result[]): void {
  const folder = new URL('../out/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL('latest.json', folder), `${JSON.stringify(results, null, 2)}\n`)
}

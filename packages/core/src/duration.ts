// Durations as operators write them: "250ms", "2s", "1m30s".

/** Reads a clock: milliseconds since the Unix epoch. */
export type ClockMs = () => number

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const PART = /^(\d+(?:\.\d+)?)(ms|s|m|h)/

/**
 * Milliseconds of a duration such as `250ms`, `2s` or `1m30s` (units ms, s, m, h); undefined if it is none.
 *
 * @example parseDuration('1m30s') // 90000
 */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0
  let rest = text
  let total = 0
  while (rest.length > 0) {
    const part = PART.exec(rest)
    if (part === null) return undefined
    total += Number(part[1]) * (UNIT_MS[part[2] as string] as number)
    rest = rest.slice(part[0].length)
  }
  return text.length > 0 && Number.isFinite(total) ? total : undefined
}

/** The shortest usual form of `ms` milliseconds: `250ms`, `2s`, `1.5s`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`
  return `${Number((ms / 1000).toFixed(3))}s`
}

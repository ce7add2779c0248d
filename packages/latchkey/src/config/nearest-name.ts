// "Did you mean": the known name that is closest to a misspelt one.

/** Edits that a typo has at most; more is another word. */
const MAX_EDITS = 2

/** The nearest of `known`, or undefined if none is near. Case, dashes and underscores do not count. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const wanted = plain(name)
  let best: { name: string; edits: number } | undefined
  for (const candidate of known) {
    const edits = editDistance(wanted, plain(candidate))
    if (edits <= Math.min(MAX_EDITS, Math.floor(candidate.length / 2)) && edits < (best?.edits ?? Infinity)) {
      best = { name: candidate, edits }
    }
  }
  return best?.name
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, '')
}

/** Insertions, deletions, substitutions and swaps of neighbours: Damerau–Levenshtein, optimal string alignment. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let least = Math.min(
        (above[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (above[j - 1] as number) + cost,
      )
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (before[j - 2] as number) + 1)
      }
      row[j] = least
    }
    before = above
    above = row
  }
  return above[b.length] as number
}

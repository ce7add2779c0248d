// Random numbers that come out the same in every run.

export interface Random {
  /** A whole number in 0..limit-1. */
  below(limit: number): number
  bytes(count: number): Uint8Array
  pick<T>(items: readonly T[]): T
}

/** Mulberry32: small, and good enough to choose test inputs. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const below = (limit: number): number => next() % limit
  return {
    below,
    bytes: (count) => Uint8Array.from({ length: count }, () => below(256)),
    pick: (items) => items[below(items.length)] as (typeof items)[number],
  }
}

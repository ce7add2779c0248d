// The label sets of one metric and their numbers, side by side in one typed array.

/** Where the numbers of one label set begin: looked up once, good until it is removed. */
export type SeriesIndex = number

/** One label set as it was when it was looked at. */
export interface SeriesSnapshot {
  /** The values of the labels, in the order of their names. */
  readonly labels: readonly string[]
  /** A counter or gauge has one; a histogram the count of each bucket, the last without an upper bound, then the sum. */
  readonly values: readonly number[]
}

/** The place of label sets beyond the limit: they count into nothing that is shown. */
const NOT_SHOWN: SeriesIndex = 0
/** A value longer than this is cut: peers choose some of them. */
const MAX_LABEL_CHARS = 1024

/** At most `maxSeries` label sets of `width` numbers each. */
export class SeriesTable {
  readonly #labelCount: number
  readonly #width: number
  readonly #maxSeries: number
  readonly #refused: () => void
  readonly #byKey = new Map<string, { readonly index: SeriesIndex; readonly labels: readonly string[] }>()
  readonly #free: SeriesIndex[] = []
  /** Numbers of all label sets; replaced by a longer one when it is full. */
  values: Float64Array
  #end: number

  constructor(labelCount: number, width: number, maxSeries: number, refused: () => void) {
    this.#labelCount = labelCount
    this.#width = width
    this.#maxSeries = maxSeries
    this.#refused = refused
    this.values = new Float64Array(4 * width)
    this.#end = width // after NOT_SHOWN
  }

  /** Finds or makes the place of a label set. @throws {RangeError} on a wrong number of labels. */
  index(labels: readonly string[]): SeriesIndex {
    if (labels.length !== this.#labelCount) {
      throw new RangeError(`${labels.length} label values for ${this.#labelCount} labels`)
    }
    const cut = labels.map((value) => value.slice(0, MAX_LABEL_CHARS).toWellFormed())
    const key = JSON.stringify(cut)
    const known = this.#byKey.get(key)
    if (known !== undefined) return known.index
    if (this.#byKey.size >= this.#maxSeries) {
      this.#refused()
      return NOT_SHOWN
    }
    const index = this.#free.pop() ?? this.#append()
    this.#byKey.set(key, { index, labels: cut })
    return index
  }

  /** Forgets the label set at `index`; another one may get its place. */
  remove(index: SeriesIndex): void {
    for (const [key, series] of this.#byKey) {
      if (series.index !== index) continue
      this.#byKey.delete(key)
      this.values.fill(0, index, index + this.#width)
      this.#free.push(index)
      return
    }
  }

  snapshot(): SeriesSnapshot[] {
    return [...this.#byKey.values()].map(({ index, labels }) => ({
      labels,
      values: [...this.values.subarray(index, index + this.#width)],
    }))
  }

  #append(): SeriesIndex {
    const index = this.#end
    this.#end += this.#width
    if (this.#end > this.values.length) {
      const longer = new Float64Array(2 * this.values.length)
      longer.set(this.values)
      this.values = longer
    }
    return index
  }
}

// How many handshakes may be in progress: in all, and of one source, so that one host cannot take every place.
import { sourceOf } from './admission.ts'

export interface HandshakeSlotsOptions {
  /** In all. */
  readonly total: number
  /** Of one IPv4 address, or one /64. Loopback is not limited: it is this machine, or a proxy on it. */
  readonly perSource: number
}

/** A place taken; giving it back twice is harmless. */
export type Release = () => void

export class HandshakeSlots {
  readonly #total: number
  readonly #perSource: number
  #taken = 0
  // Only sources with a handshake in progress: never more than `total`.
  readonly #bySource = new Map<string, number>()

  constructor({ total, perSource }: HandshakeSlotsOptions) {
    this.#total = total
    this.#perSource = perSource
  }

  /** undefined: there is no place for this source now. */
  take(address: string | undefined): Release | undefined {
    const source = address === undefined ? undefined : sourceOf(address)
    const ofSource = source === undefined ? 0 : (this.#bySource.get(source) ?? 0)
    if (this.#taken >= this.#total || ofSource >= this.#perSource) return undefined
    this.#taken++
    if (source !== undefined) this.#bySource.set(source, ofSource + 1)
    let isTaken = true
    return () => {
      if (isTaken) this.#giveBack(source)
      isTaken = false
    }
  }

  #giveBack(source: string | undefined): void {
    this.#taken--
    if (source === undefined) return
    const left = (this.#bySource.get(source) ?? 1) - 1
    if (left > 0) this.#bySource.set(source, left)
    else this.#bySource.delete(source)
  }
}

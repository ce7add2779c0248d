// Signatures under way and how long they take: of each credential, and in all. A key server that is slow or gone must not
// fill the process with handshakes that wait for it, nor take the places of others.
import type { ClockMs } from '@latchkey/core'
import type { Credential } from '../credential/credential.ts'

export interface SignerLoadOptions {
  /** Signatures under way for one credential. */
  readonly maxPerCredential: number
  /** Signatures under way in all. */
  readonly maxTotal: number
  /** Monotonic. */
  readonly clock: ClockMs
}

/** Ends a signature's time under way; twice is harmless. `isAnswered`: one came, so that it says how quick the signer is. */
export type EndOfCall = (isAnswered: boolean) => void

interface Load {
  underWay: number
  latencyMs: number | undefined
}

/** Weight of one sample in the smoothed latency: as of TCP's round-trip time, RFC 6298 §2. */
const GAIN = 1 / 8

export class SignerLoad {
  readonly #options: SignerLoadOptions
  // Goes with the credential: there is nothing to forget when certificates are replaced.
  readonly #byCredential = new WeakMap<Credential, Load>()
  #underWay = 0

  constructor(options: SignerLoadOptions) {
    this.#options = options
  }

  /** Whether one signature more is one too many. */
  isFull(credential: Credential): boolean {
    const { maxPerCredential, maxTotal } = this.#options
    return this.#underWay >= maxTotal || this.#of(credential).underWay >= maxPerCredential
  }

  begin(credential: Credential): EndOfCall {
    const load = this.#of(credential)
    const startedAtMs = this.#options.clock()
    this.#underWay++
    load.underWay++
    let isOver = false
    return (isAnswered) => {
      if (isOver) return
      isOver = true
      this.#underWay--
      load.underWay--
      if (isAnswered) load.latencyMs = smoothed(load.latencyMs, this.#options.clock() - startedAtMs)
    }
  }

  /** Smoothed milliseconds from request to signature; undefined: there was none yet. */
  latencyMs(credential: Credential): number | undefined {
    return this.#of(credential).latencyMs
  }

  #of(credential: Credential): Load {
    let load = this.#byCredential.get(credential)
    if (load === undefined) {
      load = { underWay: 0, latencyMs: undefined }
      this.#byCredential.set(credential, load)
    }
    return load
  }
}

function smoothed(before: number | undefined, sample: number): number {
  return before === undefined ? sample : before + (sample - before) * GAIN
}

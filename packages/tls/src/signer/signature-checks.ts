// Which signatures are verified before they are sent: a wrong one is the signer's failure, and must not leave the process.
import type { ClockMs } from '@latchkey/core'

/** One ECDSA or Ed25519 signature in so many is verified: at 50 µs each, all of them would cost as much as signing. */
const SAMPLE = 64

/** How long every signature is verified after a wrong one. */
const SUSPICION_MS = 60_000

/**
 * RSA always: a fault in CRT arithmetic, sent out once, gives the key away (Boneh, DeMillo, Lipton 1997). Others by
 * sample, the first included, and every one for 60 s after a wrong one.
 */
export class SignatureChecks {
  /** Monotonic. */
  readonly #clock: ClockMs
  #untilNext = 0
  #suspiciousUntilMs = Number.NEGATIVE_INFINITY

  constructor(clock: ClockMs) {
    this.#clock = clock
  }

  isDue(keyType: string | undefined): boolean {
    if (keyType === 'rsa' || this.#clock() < this.#suspiciousUntilMs) return true
    if (this.#untilNext > 0) {
      this.#untilNext--
      return false
    }
    this.#untilNext = SAMPLE - 1
    return true
  }

  foundWrong(): void {
    this.#suspiciousUntilMs = this.#clock() + SUSPICION_MS
  }
}

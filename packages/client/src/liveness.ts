// Whether an open connection is still alive: when to ping, when to give it up. Pure.

export interface LivenessLimits {
  /** Silence after which a connection that owes nothing is pinged. */
  readonly idlePingMs: number
  /** Silence after which a connection that owes answers is pinged. */
  readonly silentPingMs: number
  /** Silence after a ping that means the end. */
  readonly pongTimeoutMs: number
}

/**
 * Pinging beats redialling on demand: the first visitor after a quiet hour pays no handshake with the key server, and
 * a connection that died without a word is found before a request depends on it. It costs 2 kB every 15 s.
 *
 * A slow key operation is no reason to give up: key servers answer a ping past operations that still run. So only a
 * connection on which *nothing* comes after a ping is dead, and then what it owed can be asked again in time.
 */
export class Liveness {
  readonly #limits: LivenessLimits
  /** When something last came, or the first packet went out on a connection that owed nothing. */
  #quietSince: number
  #pingedAt: number | undefined

  constructor(limits: LivenessLimits, now: number) {
    this.#limits = limits
    this.#quietSince = now
  }

  /** A packet goes out on a connection that owed no answer. */
  startedOwing(now: number): void {
    this.#quietSince = now
  }

  received(now: number): void {
    this.#quietSince = now
    this.#pingedAt = undefined
  }

  /** What is to be done now; `ping` is said once for each silence. */
  check(now: number, owesAnswers: boolean): 'ping' | 'give-up' | undefined {
    if (this.#pingedAt !== undefined) {
      return now - this.#pingedAt >= this.#limits.pongTimeoutMs ? 'give-up' : undefined
    }
    if (now < this.dueAt(owesAnswers)) return undefined
    this.#pingedAt = now
    return 'ping'
  }

  /** When the next ping is due if nothing happens until then. */
  dueAt(owesAnswers: boolean): number {
    const { idlePingMs, silentPingMs } = this.#limits
    return this.#quietSince + (owesAnswers ? silentPingMs : idlePingMs)
  }
}

// Chains that clients have shown, by hash: a ticket names that of its client, and so stays small. They are of one process:
// where another opens the ticket, or after a restart, the chain is not known, and the client shows it again.
import { type ClockMs, Reader, Writer } from '@latchkey/core'
import { digest } from '../crypto-provider.ts'
import { TICKET_LIFETIME_SECONDS } from './ticket-keys.ts'

export interface PresentedChainsOptions {
  readonly clock: ClockMs
  /** Default 1024. */
  readonly maxChains?: number | undefined
  /** Of certificates, all chains together. Default 4 MiB: at 2 kB a chain, more than {@link maxChains} takes. */
  readonly maxBytes?: number | undefined
}

interface Presented {
  /** What the hash is of. */
  readonly encoded: Uint8Array
  /** When no ticket that names it is alive any more. */
  readonly expiresAtMs: number
}

const MAX_CHAINS = 1024
const MAX_BYTES = 4 * 1024 * 1024
const LIFETIME_MS = TICKET_LIFETIME_SECONDS * 1000

/** The chains that tickets were given out for last: beyond the limits that of the oldest ticket goes. */
export class PresentedChains {
  readonly #clock: ClockMs
  readonly #maxChains: number
  readonly #maxBytes: number
  // In the order of their last tickets, and so of expiry.
  readonly #chains = new Map<string, Presented>()
  #bytes = 0

  /** @throws {RangeError} if a limit is not a whole number from 1 up. */
  constructor({ clock, maxChains = MAX_CHAINS, maxBytes = MAX_BYTES }: PresentedChainsOptions) {
    for (const limit of [maxChains, maxBytes])
      if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`a limit of ${limit}`)
    this.#clock = clock
    this.#maxChains = maxChains
    this.#maxBytes = maxBytes
  }

  /** Chains kept, for metrics. */
  get size(): number {
    return this.#chains.size
  }

  /** Bytes of certificates kept, for metrics. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Keeps a copy of `chain`, for as long as a ticket lives that is made now.
   *
   * @returns the SHA-256 it is known by.
   */
  remember(chain: readonly Uint8Array[]): Uint8Array {
    const encoded = encodeChain(chain)
    const hash = digest('sha256', encoded)
    const name = nameOf(hash)
    const now = this.#clock()
    this.#drop(name)
    // In memory of its own: it stays for hours.
    this.#chains.set(name, { encoded: encoded.slice(), expiresAtMs: now + LIFETIME_MS })
    this.#bytes += encoded.length
    for (const [oldest, { expiresAtMs }] of this.#chains) {
      if (this.#isWithinLimits() && expiresAtMs >= now) break
      this.#drop(oldest)
    }
    return hash
  }

  /** @returns copies, leaf first; undefined: it is not known here, or no more. */
  find(hash: Uint8Array): Uint8Array[] | undefined {
    const found = this.#chains.get(nameOf(hash))
    return found === undefined || found.expiresAtMs < this.#clock() ? undefined : decodeChain(found.encoded)
  }

  #isWithinLimits(): boolean {
    return this.#chains.size <= this.#maxChains && this.#bytes <= this.#maxBytes
  }

  #drop(name: string): void {
    this.#bytes -= this.#chains.get(name)?.encoded.length ?? 0
    this.#chains.delete(name)
  }
}

/** `opaque certificate<1..2^24-1>` each: no two chains have the same bytes. */
function encodeChain(chain: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer(chain.reduce((sum, der) => sum + 3 + der.length, 0))
  for (const der of chain) writer.opaque24(der)
  return writer.finish()
}

function decodeChain(encoded: Uint8Array): Uint8Array[] {
  const chain: Uint8Array[] = []
  for (const reader = new Reader(encoded); reader.left > 0; ) chain.push(new Uint8Array(reader.opaque24()))
  return chain
}

/** One character a byte, for public bytes. */
function nameOf(hash: Uint8Array): string {
  return String.fromCharCode(...hash)
}

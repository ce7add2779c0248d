// How long records of application data are. A record can be used when its last byte is there: in a connection that has just
// begun or rested, TCP sends a few packets and waits, and a long record waits with it. So `dynamic` begins with records
// of one packet each and goes on with full ones, which cost less for each byte.
import type { ClockMs } from '@latchkey/core'
import { MAX_PLAINTEXT_BYTES } from './content-type.ts'

/**
 * With header, tag, nonce and the headers of TCP and IPv6 (with timestamps) it fits into the 1,500 bytes of an Ethernet
 * frame, with room for a tunnel.
 */
export const SMALL_RECORD_BYTES = 1369
/** About as much as TCP sends before it has to wait: ten packets (RFC 6928), and again as many with the first answer. */
const SMALL_RECORDS = 16
/** After so much silence TCP begins anew (RFC 5681 §4.1 has it so after one retransmission time-out). */
const SILENCE_MS = 1000

export type RecordSizingName = 'max' | 'dynamic'

/** Of one connection. */
export interface RecordSizing {
  /** Bytes are about to be sent. @param clock that is not set back */
  begin(clock: ClockMs): void
  /** Most content of the next record. */
  next(): number
}

/** Full records, always. */
const MAX_SIZING: RecordSizing = { begin: () => {}, next: () => MAX_PLAINTEXT_BYTES }

class DynamicSizing implements RecordSizing {
  #records = 0
  #lastMs = Number.NEGATIVE_INFINITY

  begin(clock: ClockMs): void {
    const nowMs = clock()
    if (nowMs - this.#lastMs > SILENCE_MS) this.#records = 0
    this.#lastMs = nowMs
  }

  next(): number {
    if (this.#records >= SMALL_RECORDS) return MAX_PLAINTEXT_BYTES
    this.#records++
    return SMALL_RECORD_BYTES
  }
}

export function recordSizing(name: RecordSizingName): RecordSizing {
  return name === 'dynamic' ? new DynamicSizing() : MAX_SIZING
}

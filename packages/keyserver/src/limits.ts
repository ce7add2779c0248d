// Every limit of a key server, with its reason. Peers hold client certificates, which makes them known, not harmless.

export interface Limits {
  /** From the TCP connection to the end of the TLS handshake. */
  readonly handshakeTimeoutMs: number
  /** From the last whole packet to the next one: idle connections and half-sent packets alike. */
  readonly readTimeoutMs: number
  /** Without any reply bytes leaving although there are some. */
  readonly writeTimeoutMs: number
  /** For a key operation that is waited for (an HSM, a cloud); keys in this process answer at once. */
  readonly operationTimeoutMs: number
  /** For running requests to be answered before a connection is closed by us. */
  readonly drainMs: number
  /** Accepted connections, handshakes included. */
  readonly maxConnections: number
  /** Connections whose TLS handshake is not done yet: strangers must not use up `maxConnections`. */
  readonly maxHandshakes: number
  /** Requests of one connection whose answer is outstanding; then its packets wait in the peer's send buffer. */
  readonly maxInFlight: number
  /** Reply bytes of one connection that wait for its reader; then no more of its requests are taken. */
  readonly maxQueuedReplyBytes: number
}

export const DEFAULT_LIMITS: Limits = {
  // A handshake takes two round trips and two signatures; ten seconds allow for the worst of both.
  handshakeTimeoutMs: 10_000,
  // What clients of the protocol expect: they ping or reconnect within 30 s.
  readTimeoutMs: 30_000,
  writeTimeoutMs: 30_000,
  // The usual client gives up after 10 s: a later answer is of no use to anyone.
  operationTimeoutMs: 10_000,
  drainMs: 5_000,
  // About 60 kB each with TLS state: a quarter of a gigabyte. Clients pool, so this serves thousands of hosts.
  maxConnections: 4096,
  // At two signatures a handshake one core cannot finish more than this in a second anyway.
  maxHandshakes: 512,
  // As many as other key servers allow, so that no client's window is larger than ours.
  maxInFlight: 1024,
  // 256 padded replies, several round trips of a fast link; a reader slower than that gains nothing from more.
  maxQueuedReplyBytes: 256 * 1024,
}

/** @throws {RangeError} on a limit that is not a positive whole number, or a time longer than timers can wait. */
export function withDefaults(limits: Partial<Limits> = {}): Limits {
  const merged: Limits = { ...DEFAULT_LIMITS, ...limits }
  for (const [name, value] of Object.entries(merged)) {
    if (!Number.isSafeInteger(value) || value < 1 || value > MAX_TIMER_MS) {
      throw new RangeError(`limits.${name} is ${value}: not a whole number of 1 or more`)
    }
  }
  return merged
}

/** A longer setTimeout fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

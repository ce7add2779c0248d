// What may be set about a client, and what is taken where nothing is set.
import type { ClockMs, Logger } from '@latchkey/core'
import type { KeyServerAddress } from './dial.ts'

/** Limits of one client. Each has a default with its reason: {@link DEFAULT_LIMITS}. */
export interface ClientLimits {
  /** How long a request may take, sending it again included, unless it says otherwise. */
  readonly operationTimeoutMs: number
  /** How long a dial may take, and so the longest wait for a connection. */
  readonly connectTimeoutMs: number
  /** How many requests may be without an answer, our own ping included. At least 2. */
  readonly maxInFlight: number
  /** How many bytes of requests may wait to be sent. */
  readonly maxQueuedBytes: number
  /** A connection on which nothing happens is pinged after this time. */
  readonly idlePingMs: number
  /** A connection that owes answers and gives none is pinged after this time. */
  readonly silentPingMs: number
  /** A connection on which nothing at all comes for this long after a ping is given up. */
  readonly pongTimeoutMs: number
  /** How long requests may still run when the client is disposed of. */
  readonly drainTimeoutMs: number
}

export interface KeyServerClientOptions extends KeyServerAddress, Partial<ClientLimits> {
  readonly logger?: Logger
  /** Milliseconds that never go back; default `performance.now`. */
  readonly clock?: ClockMs
  /** In [0, 1), for the jitter of redialling; default `Math.random`. */
  readonly random?: () => number
}

export const DEFAULT_LIMITS: ClientLimits = {
  operationTimeoutMs: 10_000,
  /** Two lost SYNs (1 s, then 2 s) and no more: a key server that far away is better asked elsewhere. */
  connectTimeoutMs: 3500,
  /**
   * What peers execute at once for one connection before they stop reading. One place is kept for the ping that tells
   * a slow key server from a dead one.
   */
  maxInFlight: 1024,
  /** Four times what 1024 usual requests need: only a burst of huge ones is refused. */
  maxQueuedBytes: 4 * 1024 * 1024,
  /** Peers close after 30 s of silence: half of it leaves one ping to lose. */
  idlePingMs: 15_000,
  /** Far above an honest signature, far below a request's time: a dead connection is found while a retry helps. */
  silentPingMs: 1000,
  pongTimeoutMs: 2000,
  /** Half the time of an operation: most are done, and a process that was asked to end does so. */
  drainTimeoutMs: 5000,
}

/** @throws {RangeError} on a limit that no client can work with. */
export function limitsOf(options: Partial<ClientLimits>): ClientLimits {
  const limits: Record<string, number> = {}
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof ClientLimits)[]) {
    const value = options[name] ?? DEFAULT_LIMITS[name]
    const least = name === 'maxInFlight' ? 2 : 1
    if (!(value >= least)) throw new RangeError(`${name} ${value}, expected at least ${least}`)
    limits[name] = value
  }
  return limits as unknown as ClientLimits
}

// What the client of one key server promises.
import type { Operation } from '@latchkey/wire'
import type { LinkState } from './link.ts'

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined
  /** Default: `operationTimeoutMs` of the client. */
  readonly timeoutMs?: number | undefined
  /** What is sent instead where the key server knows scoped signing. */
  readonly scoped?: Operation | undefined
}

/** What a chooser between key servers, a health page and a metrics page read. */
export interface KeyServerHealth {
  readonly state: LinkState
  /** Requests sent and not answered. */
  readonly inFlight: number
  /** Requests not sent yet. */
  readonly waiting: number
  /** Round trip of the last ping, our own included; undefined before the first. */
  readonly rttMs: number | undefined
  /** Why the link last failed; undefined while it works. */
  readonly lastError: Error | undefined
  /** Counted since the client was made. */
  readonly counts: Readonly<KeyServerCounts>
}

export interface KeyServerCounts {
  requests: number
  /** Requests sent a second time. */
  retries: number
  /** Packets for which nobody waited: late, twice, or never asked for. */
  lateReplies: number
  dials: number
  failedDials: number
  lostConnections: number
}

/**
 * Asks one key server. Requests may be made concurrently and are answered in any order. The connection is made on the
 * first request and kept up from then on. Disposing lets running requests finish for a bounded time.
 */
export interface KeyServerClient extends AsyncDisposable {
  /** For people: `host:port`. */
  readonly address: string
  readonly state: LinkState
  readonly health: KeyServerHealth

  /**
   * Sends `operation` and waits for its reply. A request whose connection is lost is sent once more on a new one;
   * while the key server is known to be out of reach requests are refused at once.
   *
   * @returns the reply, a response or a pong. Its fields are views of memory that nobody writes to again.
   * @throws {KeylessError} what the key server answered, ERR_KEYLESS_TOO_LARGE, or a reply that is not understood;
   * none of them is tried again.
   * @throws {ClientError} ERR_CLIENT_CONNECT, ERR_CLIENT_TRANSPORT, ERR_CLIENT_TIMEOUT, ERR_CLIENT_OVERLOADED,
   * ERR_CLIENT_ABORTED, ERR_CLIENT_CLOSED.
   * @throws {RangeError} on an operation that cannot be written.
   */
  request(operation: Operation, options?: RequestOptions): Promise<Operation>

  /**
   * Measures a round trip, from the write to the pong.
   *
   * @throws as {@link KeyServerClient.request}; ERR_KEYLESS_REPLY if the pong does not carry `payload`.
   */
  ping(payload?: Uint8Array, options?: RequestOptions): Promise<{ readonly rttMs: number }>
}

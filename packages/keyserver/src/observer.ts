// What a key server tells about itself while it runs: the seam for metrics.
import type { X509Certificate } from 'node:crypto'

/**
 * Why a connection ended: `end` the client closed it, `reset` it broke, `idle` nothing came for the read timeout,
 * `partial` it closed in the middle of a packet, `stalled` it fell silent there for the read timeout, `malformed` it
 * sent a packet that cannot be read, `write_timeout` it did not read its replies, `shutdown` the server closes.
 */
export type ConnectionEnd =
  | 'end'
  | 'reset'
  | 'idle'
  | 'partial'
  | 'stalled'
  | 'malformed'
  | 'write_timeout'
  | 'shutdown'

/**
 * Why a TLS handshake came to nothing: `timeout`, `closed` by the client in the middle of it, `tls` no agreement,
 * `client_certificate` the client is not welcome. Connections on which nothing came are not among them: health checks.
 */
export type HandshakeFailure = 'timeout' | 'closed' | 'tls' | 'client_certificate'

/** What a client has too much of, so that no more is read from it: see `maxInFlight`, `maxQueuedReplyBytes`. */
export type PauseCause = 'requests' | 'reply_bytes' | 'unread_bytes'

/** What came of one request. */
export interface RequestOutcome {
  readonly opcode: number
  /** The protocol's error byte; undefined: success. */
  readonly error: number | undefined
  /** From the packet read to the answer known, the look-up of the key included. */
  readonly executionMs: number
}

/** Every method is called in the middle of the work: it must be quick and must not throw. */
export interface KeyServerObserver {
  /** A client was accepted; its chain, leaf first. */
  connectionOpened?(chain: readonly X509Certificate[]): void
  connectionClosed?(end: ConnectionEnd): void
  /** There are too many of them. */
  connectionRefused?(limit: 'connections' | 'handshakes'): void
  handshakeFailed?(reason: HandshakeFailure): void
  readingPaused?(cause: PauseCause): void
  /** A connection was cut off when its time to drain was over. */
  drainCut?(): void
  operationTimedOut?(): void
  /** A request was read, whatever becomes of it. */
  requestArrived?(opcode: number): void
  /** A key was looked up, found or not. */
  keyLookedUp?(durationMs: number): void
  requestAnswered?(outcome: RequestOutcome): void
  /** The reply left this process. `totalMs`: from the packet read until then. */
  replyWritten?(outcome: RequestOutcome, totalMs: number): void
}

// What a key server tells about itself while it runs: the seam for metrics.
import type { X509Certificate } from 'node:crypto'

/**
 * Why a connection ended: `end` the client closed it, `reset` it broke, `idle` nothing came for the read timeout,
 * `partial` it closed or fell silent in the middle of a packet, `malformed` it sent a packet that cannot be read,
 * `write_timeout` it did not read its replies, `shutdown` the server closes.
 */
export type ConnectionEnd = 'end' | 'reset' | 'idle' | 'partial' | 'malformed' | 'write_timeout' | 'shutdown'

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
  /** A request was read, whatever becomes of it. */
  requestArrived?(opcode: number): void
  /** A key was looked up, found or not. */
  keyLookedUp?(durationMs: number): void
  requestAnswered?(outcome: RequestOutcome): void
  /** The reply left this process. `totalMs`: from the packet read until then. */
  replyWritten?(outcome: RequestOutcome, totalMs: number): void
}

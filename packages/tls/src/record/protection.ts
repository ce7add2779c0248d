// What both record protections have in common: one direction of a connection, under one key.
import type { Outgoing } from './outgoing.ts'

export interface Protection {
  /** Whether it is time for new keys, or where there are none, for the end. */
  readonly isWorn: boolean
  /**
   * Appends one protected record to `out`; its content is `pieces`, at most 2^14 bytes in all.
   *
   * @param paddingBytes zeros behind the content, with it at most 2^14; TLS 1.2 has no place for them.
   */
  seal(out: Outgoing, type: number, pieces: readonly Uint8Array[], paddingBytes: number): void
  /** What is inside a protected record; undefined if it does not authenticate: why, nobody learns. */
  open(header: Uint8Array, fragment: Uint8Array): Uint8Array | undefined
  /** Forgets the key; nothing can be sealed or opened after. */
  wipe(): void
}

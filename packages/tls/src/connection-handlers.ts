// What a connection says to whoever owns its transport.
import type { TlsError } from './errors.ts'
import type { Session } from './handshake/session.ts'
import type { PrivateKeyOperation } from './signer/signer.ts'

/** Called from inside the connection's own methods, in the order things happen. None may throw. */
export interface ConnectionHandlers {
  /**
   * Bytes for the transport, in order; the chunks now belong to the transport, which may `giveBack` (record/outgoing.ts) those that
   * have left. At most one call a method call.
   */
  write(chunks: Uint8Array[]): void
  /** Decrypted application data; the bytes now belong to the handler. */
  data(bytes: Uint8Array): void
  /**
   * The one private-key operation of the handshake: answer with `ServerConnection.privateKeyAnswered` or
   * `privateKeyFailed` and this id.
   */
  privateKeyOperation(id: number, operation: PrivateKeyOperation): void
  /** The answer to `id` is not wanted any more. */
  cancelPrivateKeyOperation(id: number): void
  established(session: Session): void
  /** close_notify came: nothing more will be read. */
  ended(): void
  /** The end; nothing comes after. `undefined`: both sides said close_notify. */
  closed(error: TlsError | undefined): void
}

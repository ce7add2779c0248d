// The running hash over all handshake messages. RFC 8446 §4.4.1.
import { createHash, type Hash, type HashName } from '../crypto-provider.ts'
import { HandshakeType } from './handshake-type.ts'

export class Transcript {
  #hash: Hash
  readonly #name: HashName

  constructor(name: HashName) {
    this.#name = name
    this.#hash = createHash(name)
  }

  /** Adds one whole message, header included, exactly as it was sent or received. */
  add(message: Uint8Array): void {
    this.#hash.update(message)
  }

  /** Transcript-Hash of all messages so far. */
  digest(): Uint8Array {
    return this.#hash.copy().digest()
  }

  /** Transcript-Hash as if `part` of a message had been added: for binders, which are inside the message they cover. */
  digestWith(part: Uint8Array): Uint8Array {
    return this.#hash.copy().update(part).digest()
  }

  /**
   * Replaces the first ClientHello by a synthetic message that holds its hash:
   *
   *     Hash(message_hash ‖ 00 00 Hash.length ‖ Hash(ClientHello1) ‖ HelloRetryRequest ‖ …)
   */
  restartAfterRetry(): void {
    const first = this.#hash.digest()
    this.#hash = createHash(this.#name)
    this.#hash.update(Uint8Array.of(HandshakeType.message_hash, 0, 0, first.length))
    this.#hash.update(first)
  }
}

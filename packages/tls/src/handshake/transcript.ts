// The running hash over all handshake messages. RFC 8446 §4.4.1.
import { concatenate } from '@latchkey/core'
import { createHash, type HashName, type RunningHash } from '../crypto-provider.ts'
import { HandshakeType } from './handshake-type.ts'

export class Transcript {
  #hash: RunningHash
  readonly #name: HashName
  #messages: Uint8Array[] | undefined

  /** @param options `keepsMessages`: for {@link takeMessages}. */
  constructor(name: HashName, { keepsMessages = false } = {}) {
    this.#name = name
    this.#hash = createHash(name)
    if (keepsMessages) this.#messages = []
  }

  /** Adds one whole message, header included, exactly as it was sent or received. */
  add(message: Uint8Array): void {
    this.#hash.update(message)
    // A copy: what was received is a view of bytes that are gone when the next message comes.
    this.#messages?.push(new Uint8Array(message))
  }

  /**
   * All messages so far, one after the other, and from here on none are kept: what a TLS 1.2 client signs, with a hash
   * that need not be that of the suite (RFC 5246 §7.4.8). As long as the limits of the messages allow.
   */
  takeMessages(): Uint8Array {
    const messages = this.#messages ?? []
    this.#messages = undefined
    return concatenate(
      messages,
      messages.reduce((sum, { length }) => sum + length, 0),
    )
  }

  /** Transcript-Hash of all messages so far. */
  digest(): Uint8Array {
    return this.#hash.digest()
  }

  /** Transcript-Hash as if `part` of a message had been added: for binders, which are inside the message they cover. */
  digestWith(part: Uint8Array): Uint8Array {
    return this.#hash.digestWith(part)
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

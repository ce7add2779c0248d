// Input that waits until the private key has answered: in order, and not for ever.
import { refuse } from '../errors.ts'

/** What a client may send while its premaster secret is decrypted: CCS and Finished are a hundred bytes. */
const MAX_HELD_BYTES = 16_384

export class HeldInput {
  #chunks: Uint8Array[] = []
  #bytes = 0

  /** Takes the bytes over. @throws {TlsError} ERR_TLS_UNEXPECTED_MESSAGE if it is too much. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#bytes += bytes.length
    if (this.#bytes > MAX_HELD_BYTES)
      refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'more input than may wait for the private key')
    this.#chunks.push(bytes)
  }

  /** Everything, in order; nothing is held after. */
  take(): Uint8Array[] {
    const chunks = this.#chunks
    this.#chunks = []
    this.#bytes = 0
    return chunks
  }
}

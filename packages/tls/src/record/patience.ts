// How much a client may send that brings nothing forward: each of these costs it a few bytes, and us work.
import { refuse } from '../errors.ts'

/** change_cipher_spec records of TLS 1.3: one is usual, more is noise. */
const MAX_CHANGE_CIPHER_SPECS = 32
/** Records in a row that carry nothing. */
const MAX_EMPTY_RECORDS = 16
/** KeyUpdates in a row without data between them: each costs us a key derivation. */
const MAX_KEY_UPDATES = 32
const MAX_USER_CANCELED = 4
/** Warning alerts of TLS 1.2 without data between them. */
const MAX_WARNINGS = 4
/** What a client may have sent as early data before it learns that we take none, headers and tags included. */
const EARLY_DATA_BYTES = 16_384

/** Counts for one connection; every method but the last two refuses with ERR_TLS_UNEXPECTED_MESSAGE what is too much. */
export class Patience {
  #changeCipherSpecs = 0
  #emptyRecords = 0
  #keyUpdates = 0
  #userCanceled = 0
  #warnings = 0
  /** Bytes left; undefined: there may be none at all. */
  #earlyDataBytes: number | undefined

  changeCipherSpec(): void {
    if (++this.#changeCipherSpecs > MAX_CHANGE_CIPHER_SPECS)
      refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'change_cipher_spec')
  }

  emptyRecord(): void {
    if (++this.#emptyRecords > MAX_EMPTY_RECORDS)
      refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'too many empty records')
  }

  keyUpdate(): void {
    if (++this.#keyUpdates > MAX_KEY_UPDATES) refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'too many KeyUpdates')
  }

  warning(name: string): void {
    if (++this.#warnings > MAX_WARNINGS) refuse('ERR_TLS_UNEXPECTED_MESSAGE', `too many warnings: ${name}`)
  }

  /** A record that was early data is passed over. @param bytes header included */
  earlyData(bytes: number): void {
    this.#earlyDataBytes = (this.#earlyDataBytes ?? 0) - bytes
    if (this.#earlyDataBytes < 0)
      refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'more early data than the client may send')
  }

  /** Whether early data may come, to be passed over. RFC 8446 §4.2.10. */
  get expectsEarlyData(): boolean {
    return this.#earlyDataBytes !== undefined
  }

  expectEarlyData(isExpected: boolean): void {
    this.#earlyDataBytes = isExpected ? EARLY_DATA_BYTES : undefined
  }

  /** Whether user_canceled may be passed over once more: beyond, it is an alert as any other. */
  toleratesUserCanceled(): boolean {
    return ++this.#userCanceled <= MAX_USER_CANCELED
  }

  /** Application data came: what is counted between data begins anew. */
  dataCame(): void {
    this.#emptyRecords = 0
    this.#keyUpdates = 0
    this.#warnings = 0
  }
}

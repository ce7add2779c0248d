// Protects records in one direction of a TLS 1.2 connection. RFC 5246 §6.2.3.3, RFC 5288 §3, RFC 7905 §2.
import {
  type AeadKey,
  type AeadParameters,
  importAeadKey,
  open,
  seal,
  sealBuffer,
  TAG_BYTES,
  wipeAeadKey,
} from '../crypto-provider.ts'
import { refuse } from '../errors.ts'
import type { CipherSuite12 } from '../handshake12/cipher-suite12.ts'
import type { DirectionKeys } from '../handshake12/master-secret.ts'
import { LEGACY_RECORD_VERSION, RECORD_HEADER_BYTES } from './content-type.ts'
import type { Outgoing } from './outgoing.ts'
import type { Protection } from './protection.ts'

/** Far below 2^53, where numbers stop being exact, and above anything a connection reaches. */
const MAX_SEQUENCE = 2 ** 48
const NONCE_BYTES = 12
/** seq_num(8) ‖ type(1) ‖ version(2) ‖ length(2) */
const ADDITIONAL_DATA_BYTES = 13

/**
 * Owns key, IV and sequence number. The number starts at 0 and only grows, inside {@link seal} and {@link open}: no
 * nonce can be built anywhere else, none twice under our own key.
 *
 *     AES-GCM:  nonce = salt(4) ‖ sequence number(8), the latter also in front of the ciphertext
 *     ChaCha20: nonce = IV(12) ⊕ sequence number
 *
 * Both are IV ⊕ sequence number when the salt is padded with zeros to an IV of 12 bytes.
 */
export class RecordProtection12 implements Protection {
  readonly #suite: CipherSuite12
  readonly #key: AeadKey
  readonly #iv = new Uint8Array(NONCE_BYTES)
  readonly #nonce = new Uint8Array(NONCE_BYTES)
  readonly #additionalData = new Uint8Array(ADDITIONAL_DATA_BYTES)
  #sequence = 0

  /** Takes the keys over. */
  constructor(suite: CipherSuite12, { key, fixedIv }: DirectionKeys) {
    this.#suite = suite
    this.#key = importAeadKey(key)
    this.#iv.set(fixedIv)
    this.#nonce.set(fixedIv)
    fixedIv.fill(0)
  }

  /** Whether the connection must end: TLS 1.2 without renegotiation has no new keys. */
  get isWorn(): boolean {
    return this.#sequence >= this.#suite.recordLimit
  }

  /** Appends one protected record to `out`; its content is `pieces`, at most 2^14 bytes in all. */
  seal(out: Outgoing, type: number, pieces: readonly Uint8Array[]): void {
    const content = sealBuffer()
    let end = 0
    for (const piece of pieces) {
      content.set(piece, end)
      end += piece.length
    }
    this.#nextSequence(type, end)
    const { aead, explicitNonceBytes } = this.#suite
    const length = explicitNonceBytes + end + TAG_BYTES
    const record = out.reserve(RECORD_HEADER_BYTES + length)
    record[0] = type
    record[1] = LEGACY_RECORD_VERSION >>> 8
    record[2] = LEGACY_RECORD_VERSION & 0xff
    record[3] = length >>> 8
    record[4] = length & 0xff
    record.set(this.#nonce.subarray(NONCE_BYTES - explicitNonceBytes), RECORD_HEADER_BYTES)
    seal(record, RECORD_HEADER_BYTES + explicitNonceBytes, aead, this.#parameters(), end)
  }

  /** The content of a protected record, of the type its header says; undefined if it does not authenticate. */
  open(header: Uint8Array, fragment: Uint8Array): Uint8Array | undefined {
    const { aead, explicitNonceBytes } = this.#suite
    const length = fragment.length - explicitNonceBytes - TAG_BYTES
    if (length < 0) return undefined
    this.#nextSequence(header[0] as number, length)
    // RFC 5288 §3: the explicit part is the client's to choose; its sequence number is one way.
    this.#nonce.set(fragment.subarray(0, explicitNonceBytes), NONCE_BYTES - explicitNonceBytes)
    return open(aead, this.#parameters(), fragment.subarray(explicitNonceBytes))
  }

  /** Forgets the key; nothing can be sealed or opened after. */
  wipe(): void {
    wipeAeadKey(this.#key)
    this.#iv.fill(0)
    this.#sequence = MAX_SEQUENCE
  }

  #parameters(): AeadParameters {
    return { key: this.#key, nonce: this.#nonce, additionalData: this.#additionalData }
  }

  /** Writes nonce and additional data of the next record. RFC 5246 §6.2.3.3. */
  #nextSequence(type: number, length: number): void {
    const sequence = this.#sequence
    if (sequence >= MAX_SEQUENCE) refuse('ERR_TLS_INTERNAL', 'record sequence number exhausted')
    this.#sequence = sequence + 1
    const iv = this.#iv
    const nonce = this.#nonce
    const data = this.#additionalData
    let rest = sequence
    for (let index = NONCE_BYTES - 1; index >= 4; index--) {
      const byte = rest & 0xff
      nonce[index] = (iv[index] as number) ^ byte
      data[index - 4] = byte
      rest = Math.floor(rest / 256)
    }
    data[8] = type
    data[9] = LEGACY_RECORD_VERSION >>> 8
    data[10] = LEGACY_RECORD_VERSION & 0xff
    data[11] = length >>> 8
    data[12] = length & 0xff
  }
}

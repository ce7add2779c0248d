// Protects records in one direction under one traffic secret. RFC 8446 §5.2–§5.5.
import {
  type AeadKey,
  importAeadKey,
  open,
  seal,
  sealBuffer,
  TAG_BYTES,
  wipeAeadKey,
} from '../crypto-provider.ts'
import { refuse } from '../errors.ts'
import type { CipherSuite } from '../handshake/cipher-suite.ts'
import { hkdf, trafficKeys } from '../handshake/key-schedule.ts'
import { ContentType, LEGACY_RECORD_VERSION, RECORD_HEADER_BYTES } from './content-type.ts'
import type { Outgoing } from './outgoing.ts'
import type { Protection } from './protection.ts'

/** Far below 2^53, where numbers stop being exact, and above anything a connection reaches. */
const MAX_SEQUENCE = 2 ** 48
const TYPE_BYTES = 1
const NONCE_BYTES = 12

/**
 * Owns key, IV and sequence number. The number starts at 0 and only grows, inside {@link seal} and {@link open}: no
 * nonce can be built anywhere else, none twice.
 */
export class RecordProtection implements Protection {
  readonly #suite: CipherSuite
  readonly #key: AeadKey
  readonly #iv: Uint8Array
  #sequence = 0

  constructor(suite: CipherSuite, trafficSecret: Uint8Array) {
    const { key, iv } = trafficKeys(hkdf(suite.hash), trafficSecret, suite.keyBytes)
    this.#suite = suite
    this.#key = importAeadKey(key)
    this.#iv = iv
  }

  /** Whether it is time for new keys. RFC 8446 §5.5. */
  get isWorn(): boolean {
    return this.#sequence >= this.#suite.recordLimit
  }

  /**
   * Appends one protected record to `out`; its content is `pieces`, with the padding at most 2^14 bytes in all.
   *
   *     TLSInnerPlaintext = content ‖ type ‖ zeros;  AEAD-Encrypt(key, iv ⊕ sequence, header, inner)
   */
  seal(out: Outgoing, type: number, pieces: readonly Uint8Array[], paddingBytes = 0): void {
    const inner = sealBuffer()
    let end = 0
    for (const piece of pieces) {
      inner.set(piece, end)
      end += piece.length
    }
    inner[end++] = type
    if (paddingBytes > 0) inner.fill(0, end, (end += paddingBytes))
    const parameters = { key: this.#key, nonce: this.#nextNonce(), additionalData: header }
    const record = out.reserve(RECORD_HEADER_BYTES + end + TAG_BYTES)
    writeHeader(header, ContentType.application_data, end + TAG_BYTES)
    record.set(header)
    seal(record, RECORD_HEADER_BYTES, this.#suite.aead, parameters, end)
  }

  /**
   * The inner plaintext of a protected record: content ‖ type ‖ zeros. A record that fails leaves the sequence number
   * as it was, so that early data can be skipped (RFC 8446 §4.2.10).
   *
   * @returns undefined if the record does not authenticate: why, nobody learns.
   */
  open(header: Uint8Array, fragment: Uint8Array): Uint8Array | undefined {
    if (fragment.length < TYPE_BYTES + TAG_BYTES) return undefined
    const sequence = this.#sequence
    const parameters = { key: this.#key, nonce: this.#nextNonce(), additionalData: header }
    const plaintext = open(this.#suite.aead, parameters, fragment)
    if (plaintext === undefined) this.#sequence = sequence
    return plaintext
  }

  /** Forgets the key; nothing can be sealed or opened after. */
  wipe(): void {
    wipeAeadKey(this.#key)
    this.#iv.fill(0)
    this.#sequence = MAX_SEQUENCE
  }

  /** Nonce = IV ⊕ sequence number, big-endian, right-aligned. RFC 8446 §5.3. */
  #nextNonce(): Uint8Array {
    const sequence = this.#sequence
    if (sequence >= MAX_SEQUENCE) refuse('ERR_TLS_INTERNAL', 'record sequence number exhausted')
    this.#sequence = sequence + 1
    const iv = this.#iv
    nonce.set(iv)
    let rest = sequence
    for (let index = NONCE_BYTES - 1; rest > 0; index--) {
      nonce[index] = (iv[index] as number) ^ (rest & 0xff)
      rest = Math.floor(rest / 256)
    }
    return nonce
  }
}

// Of the record that is sealed or opened at this moment, of any connection.
const nonce = new Uint8Array(NONCE_BYTES)
const header = new Uint8Array(RECORD_HEADER_BYTES)

/** Appends one record without protection; its content is `pieces`, at most 2^14 bytes in all. */
export function writePlaintextRecord(out: Outgoing, type: number, pieces: readonly Uint8Array[]): void {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  const record = out.reserve(RECORD_HEADER_BYTES + length)
  writeHeader(record, type, length)
  let end = RECORD_HEADER_BYTES
  for (const piece of pieces) {
    record.set(piece, end)
    end += piece.length
  }
}

function writeHeader(target: Uint8Array, type: number, length: number): void {
  target[0] = type
  target[1] = LEGACY_RECORD_VERSION >>> 8
  target[2] = LEGACY_RECORD_VERSION & 0xff
  target[3] = length >>> 8
  target[4] = length & 0xff
}

// The client's own TLS 1.2 key schedule and record protection, from the text of RFC 5246 §5, §6.3, §8.1, RFC 7627 §4,
// RFC 5288 §3 and RFC 7905 §2.
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { ascii, concat, u16, u8 } from './bytes.ts'
import { hmac } from './client-keys.ts'
import { RSA_SUITE12, SUITE12 } from './code-points.ts'

export interface Suite12 {
  readonly code: number
  readonly aead: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305'
  readonly keyBytes: number
  readonly ivBytes: number
  readonly hash: 'sha256' | 'sha384'
  /** RSA key exchange. */
  readonly isRsa?: boolean
}

const AES_128 = { aead: 'aes-128-gcm', keyBytes: 16, ivBytes: 4, hash: 'sha256' } as const
const AES_256 = { aead: 'aes-256-gcm', keyBytes: 32, ivBytes: 4, hash: 'sha384' } as const
const CHACHA20 = { aead: 'chacha20-poly1305', keyBytes: 32, ivBytes: 12, hash: 'sha256' } as const

const SUITES: readonly Suite12[] = [
  { code: SUITE12.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ...AES_128 },
  { code: SUITE12.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, ...AES_256 },
  { code: SUITE12.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, ...CHACHA20 },
  { code: SUITE12.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, ...AES_128 },
  { code: SUITE12.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, ...AES_256 },
  { code: SUITE12.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, ...CHACHA20 },
  { code: RSA_SUITE12.TLS_RSA_WITH_AES_128_GCM_SHA256, ...AES_128, isRsa: true },
  { code: RSA_SUITE12.TLS_RSA_WITH_AES_256_GCM_SHA384, ...AES_256, isRsa: true },
]

export function suite12Of(code: number): Suite12 {
  const suite = SUITES.find((row) => row.code === code)
  if (suite === undefined) throw new Error(`the server chose suite 0x${code.toString(16)}`)
  return suite
}

/** PRF(secret, label, seed). RFC 5246 §5. */
export function prf(
  hash: string,
  secret: Uint8Array,
  label: string,
  seed: Uint8Array,
  length: number,
): Uint8Array {
  const labelled = concat(ascii(label), seed)
  let a: Uint8Array = labelled
  let output: Uint8Array = new Uint8Array(0)
  while (output.length < length) {
    a = hmac(hash, secret, a)
    output = concat(output, hmac(hash, secret, concat(a, labelled)))
  }
  return output.subarray(0, length)
}

const TAG_BYTES = 16

export interface SealOptions12 {
  /** The record's version. */
  readonly version?: number
}

/** One direction. `sequence` may be set: a test may skip or repeat a number. */
export class RecordKeys12 {
  readonly #suite: Suite12
  readonly #key: Uint8Array
  readonly #iv: Uint8Array
  sequence = 0

  constructor(suite: Suite12, key: Uint8Array, iv: Uint8Array) {
    this.#suite = suite
    this.#key = key
    this.#iv = iv
  }

  /** A whole protected record. */
  seal(type: number, content: Uint8Array, { version = 0x0303 }: SealOptions12 = {}): Uint8Array {
    const number = this.#next()
    const explicit = this.#isGcm ? number : new Uint8Array(0)
    const cipher = createCipheriv(
      this.#suite.aead as 'aes-128-gcm',
      this.#key,
      this.#nonce(number, explicit),
      {
        authTagLength: TAG_BYTES,
      },
    )
    cipher.setAAD(concat(number, u8(type), u16(version), u16(content.length)))
    const body = cipher.update(content)
    cipher.final()
    const fragment = concat(explicit, body, cipher.getAuthTag())
    return concat(u8(type), u16(version), u16(fragment.length), fragment)
  }

  /** The content of a record. @throws if it does not authenticate under this number. */
  open(record: Uint8Array): Uint8Array {
    const number = this.#next()
    const explicit = record.subarray(5, this.#isGcm ? 13 : 5)
    const body = record.subarray(5 + explicit.length, -TAG_BYTES)
    const decipher = createDecipheriv(
      this.#suite.aead as 'aes-128-gcm',
      this.#key,
      this.#nonce(number, explicit),
      { authTagLength: TAG_BYTES },
    )
    decipher.setAAD(concat(number, record.subarray(0, 3), u16(body.length)))
    decipher.setAuthTag(record.subarray(-TAG_BYTES))
    const content = decipher.update(body)
    decipher.final()
    return content
  }

  get #isGcm(): boolean {
    return this.#iv.length === 4
  }

  #next(): Uint8Array {
    const number = Buffer.alloc(8)
    number.writeBigUInt64BE(BigInt(this.sequence++))
    return new Uint8Array(number)
  }

  #nonce(number: Uint8Array, explicit: Uint8Array): Uint8Array {
    if (this.#isGcm) return concat(this.#iv, explicit)
    return concat(new Uint8Array(4), number).map((byte, index) => byte ^ (this.#iv[index] as number))
  }
}

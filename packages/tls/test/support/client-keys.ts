// The client's own key schedule and record protection, from the text of RFC 8446 §5.2, §5.3, §7.1, §7.3 and RFC 5869.
import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto'
import { RECORD, SUITE } from './code-points.ts'
import { ascii, concat, u16, u8, vector8 } from './bytes.ts'

export interface Suite {
  readonly code: number
  readonly aead: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305'
  readonly keyBytes: number
  readonly hash: 'sha256' | 'sha384'
}

const SUITES: readonly Suite[] = [
  { code: SUITE.TLS_AES_128_GCM_SHA256, aead: 'aes-128-gcm', keyBytes: 16, hash: 'sha256' },
  { code: SUITE.TLS_AES_256_GCM_SHA384, aead: 'aes-256-gcm', keyBytes: 32, hash: 'sha384' },
  { code: SUITE.TLS_CHACHA20_POLY1305_SHA256, aead: 'chacha20-poly1305', keyBytes: 32, hash: 'sha256' },
]

export function suiteOf(code: number): Suite {
  const suite = SUITES.find((row) => row.code === code)
  if (suite === undefined) throw new Error(`the server chose suite 0x${code.toString(16)}`)
  return suite
}

const NONE = new Uint8Array(0)

export function hashOf(hash: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const running = createHash(hash)
  for (const part of parts) running.update(part)
  return running.digest()
}

export function hmac(hash: string, key: Uint8Array, input: Uint8Array): Uint8Array {
  return createHmac(hash, key).update(input).digest()
}

/** HKDF-Expand of RFC 5869 §2.3, whole loop. */
function expand(hash: string, secret: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  let block: Uint8Array = NONE
  let output: Uint8Array = NONE
  for (let counter = 1; output.length < length; counter++) {
    block = hmac(hash, secret, concat(block, info, u8(counter)))
    output = concat(output, block)
  }
  return output.subarray(0, length)
}

export function expandLabel(
  hash: string,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
): Uint8Array {
  return expand(hash, secret, concat(u16(length), vector8(ascii(`tls13 ${label}`)), vector8(context)), length)
}

/** Derive-Secret with the transcript hash given. */
export function deriveSecret(
  hash: string,
  secret: Uint8Array,
  label: string,
  transcript: Uint8Array,
): Uint8Array {
  return expandLabel(hash, secret, label, transcript, transcript.length)
}

/** The Handshake Secret. */
export function handshakeSecret(hash: string, sharedSecret: Uint8Array, psk?: Uint8Array): Uint8Array {
  const empty = hashOf(hash)
  const zeros = new Uint8Array(empty.length)
  const early = hmac(hash, zeros, psk ?? zeros)
  return hmac(hash, deriveSecret(hash, early, 'derived', empty), sharedSecret)
}

export function masterSecret(hash: string, handshake: Uint8Array): Uint8Array {
  const empty = hashOf(hash)
  return hmac(hash, deriveSecret(hash, handshake, 'derived', empty), new Uint8Array(empty.length))
}

export function finishedData(hash: string, baseKey: Uint8Array, transcript: Uint8Array): Uint8Array {
  return hmac(hash, expandLabel(hash, baseKey, 'finished', NONE, transcript.length), transcript)
}

export interface SealOptions {
  /** Zero bytes after the content type. */
  readonly padding?: number
  /** Bytes of the header, where a test wants them wrong; the AAD is the header that is sent. */
  readonly outerType?: number
  readonly version?: number
}

const TAG_BYTES = 16

/** One direction under one traffic secret. `sequence` may be set: a test may skip or repeat a number. */
export class RecordKeys {
  readonly suite: Suite
  readonly secret: Uint8Array
  readonly #key: Uint8Array
  readonly #iv: Uint8Array
  sequence = 0

  constructor(suite: Suite, secret: Uint8Array) {
    this.suite = suite
    this.secret = secret
    this.#key = expandLabel(suite.hash, secret, 'key', NONE, suite.keyBytes)
    this.#iv = expandLabel(suite.hash, secret, 'iv', NONE, 12)
  }

  /** A whole protected record. */
  seal(innerType: number, content: Uint8Array, options: SealOptions = {}): Uint8Array {
    return this.sealInner(concat(content, u8(innerType), new Uint8Array(options.padding ?? 0)), options)
  }

  /** A record around `inner` as it is: it need not end in a content type. */
  sealInner(inner: Uint8Array, { outerType = RECORD.data, version = 0x0303 }: SealOptions = {}): Uint8Array {
    const header = concat(u8(outerType), u16(version), u16(inner.length + TAG_BYTES))
    const cipher = createCipheriv(this.suite.aead as 'aes-128-gcm', this.#key, this.#nonce(), {
      authTagLength: TAG_BYTES,
    })
    cipher.setAAD(header)
    const body = cipher.update(inner)
    cipher.final()
    return concat(header, body, cipher.getAuthTag())
  }

  /** The inner plaintext, padding and type included. @throws if the record does not authenticate under this number. */
  open(record: Uint8Array): Uint8Array {
    const tagAt = record.length - TAG_BYTES
    const decipher = createDecipheriv(this.suite.aead as 'aes-128-gcm', this.#key, this.#nonce(), {
      authTagLength: TAG_BYTES,
    })
    decipher.setAAD(record.subarray(0, 5))
    decipher.setAuthTag(record.subarray(tagAt))
    const inner = decipher.update(record.subarray(5, tagAt))
    decipher.final()
    return inner
  }

  /** The keys after a KeyUpdate. RFC 8446 §7.2. */
  next(): RecordKeys {
    const { suite, secret } = this
    return new RecordKeys(suite, expandLabel(suite.hash, secret, 'traffic upd', NONE, secret.length))
  }

  #nonce(): Uint8Array {
    const number = Buffer.alloc(12)
    number.writeBigUInt64BE(BigInt(this.sequence++), 4)
    return number.map((byte, index) => byte ^ (this.#iv[index] as number))
  }
}

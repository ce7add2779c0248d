// The TLS 1.3 key schedule. RFC 8446 §7.1, HKDF of RFC 5869.
//
//             0 ──▶ Early Secret (no PSK: a constant of the hash)
//                      │ Derive-Secret(., "derived", "")
//     (EC)DHE ──▶ Handshake Secret ──▶ c hs traffic, s hs traffic
//                      │ Derive-Secret(., "derived", "")
//             0 ──▶ Master Secret ──▶ c ap traffic, s ap traffic, exp master, res master
//
// A stage is a class with that stage's secrets only; the next stage consumes it and wipes what it no longer needs.
import { digest, type HashName } from '../crypto-provider.ts'

const NONE = new Uint8Array(0)
const INNER_PAD = 0x36 // RFC 2104 §2
const OUTER_PAD = 0x5c

/** Largest input of one HMAC here: a label of at most 18 characters, a hash of 48 bytes and four bytes of lengths. */
const MAX_HMAC_INPUT = 256

/** HMAC and HKDF over one hash. One instance a hash: no length is chosen by `if` below. */
export class Hkdf {
  readonly hashName: HashName
  /** Hash.length in bytes. */
  readonly length: number
  readonly #block: number
  // Scratch of one synchronous computation: [key ⊕ pad ‖ input]. Wiped after use: it holds keys.
  readonly #inner: Uint8Array
  readonly #outer: Uint8Array
  readonly #prefixes = new Map<string, Uint8Array>()
  /** Hash of nothing. */
  readonly emptyHash: Uint8Array
  /** Derive-Secret(HKDF-Extract(0, 0), "derived", ""): where a handshake without PSK starts. */
  readonly derivedEarlySecret: Uint8Array

  constructor(hashName: HashName) {
    this.hashName = hashName
    this.length = hashName === 'sha256' ? 32 : 48
    this.#block = hashName === 'sha256' ? 64 : 128
    this.#inner = new Uint8Array(this.#block + MAX_HMAC_INPUT)
    this.#outer = new Uint8Array(this.#block + this.length)
    this.emptyHash = digest(hashName, NONE)
    const zeros = new Uint8Array(this.length)
    this.derivedEarlySecret = this.deriveSecret(this.extract(zeros, zeros), 'derived', this.emptyHash)
  }

  /**
   * HMAC(key, a ‖ b ‖ c) = H(key ⊕ opad ‖ H(key ⊕ ipad ‖ a ‖ b ‖ c)), built from two one-shot hashes: cheaper than an
   * Hmac object. `key` is at most one block, the input at most 256 bytes.
   */
  hmac(key: Uint8Array, a: Uint8Array, b: Uint8Array = NONE, c: Uint8Array = NONE): Uint8Array {
    const inner = this.#inner
    const outer = this.#outer
    const block = this.#block
    for (let index = 0; index < key.length; index++) {
      const byte = key[index] as number
      inner[index] = byte ^ INNER_PAD
      outer[index] = byte ^ OUTER_PAD
    }
    inner.fill(INNER_PAD, key.length, block)
    outer.fill(OUTER_PAD, key.length, block)
    const end = block + a.length + b.length + c.length
    inner.set(a, block)
    if (b.length > 0) inner.set(b, block + a.length)
    if (c.length > 0) inner.set(c, block + a.length + b.length)
    outer.set(digest(this.hashName, inner.subarray(0, end)), block)
    const result = digest(this.hashName, outer)
    inner.fill(0, 0, end)
    outer.fill(0)
    return result
  }

  /** HKDF-Extract(salt, IKM) = HMAC(salt, IKM). RFC 5869 §2.2. */
  extract(salt: Uint8Array, keyMaterial: Uint8Array): Uint8Array {
    return this.hmac(salt, keyMaterial)
  }

  /**
   * HKDF-Expand-Label(secret, label, context, length). RFC 8446 §7.1:
   *
   *     HkdfLabel = length(2) ‖ len(1) "tls13 " label ‖ len(1) context
   *
   * `length` is at most Hash.length, so HKDF-Expand (RFC 5869 §2.3) is its first block: HMAC(secret, HkdfLabel ‖ 01).
   */
  expandLabel(secret: Uint8Array, label: string, context: Uint8Array, length: number): Uint8Array {
    const okm = this.hmac(secret, this.#prefix(label, context.length, length), context, FIRST_BLOCK)
    return length === okm.length ? okm : okm.subarray(0, length)
  }

  /** Derive-Secret(secret, label, messages) with the messages' Transcript-Hash given. */
  deriveSecret(secret: Uint8Array, label: string, transcriptHash: Uint8Array): Uint8Array {
    return this.expandLabel(secret, label, transcriptHash, this.length)
  }

  /** verify_data = HMAC(HKDF-Expand-Label(BaseKey, "finished", "", Hash.length), Transcript-Hash). RFC 8446 §4.4.4. */
  verifyData(baseKey: Uint8Array, transcriptHash: Uint8Array): Uint8Array {
    const finishedKey = this.expandLabel(baseKey, 'finished', NONE, this.length)
    const verifyData = this.hmac(finishedKey, transcriptHash)
    finishedKey.fill(0)
    return verifyData
  }

  /** application_traffic_secret_N+1. RFC 8446 §7.2. */
  nextTrafficSecret(secret: Uint8Array): Uint8Array {
    return this.expandLabel(secret, 'traffic upd', NONE, this.length)
  }

  #prefix(label: string, contextBytes: number, length: number): Uint8Array {
    const key = `${label}/${contextBytes}/${length}`
    const known = this.#prefixes.get(key)
    if (known !== undefined) return known
    const text = new TextEncoder().encode(`tls13 ${label}`)
    const prefix = Uint8Array.of(length >>> 8, length & 0xff, text.length, ...text, contextBytes)
    this.#prefixes.set(key, prefix)
    return prefix
  }
}

/** The counter of HKDF-Expand's first block. */
const FIRST_BLOCK = Uint8Array.of(1)

const HKDFS = { sha256: new Hkdf('sha256'), sha384: new Hkdf('sha384') } as const

export function hkdf(hashName: HashName): Hkdf {
  return HKDFS[hashName]
}

/** The two directions of one stage. */
export interface TrafficSecrets {
  readonly client: Uint8Array
  readonly server: Uint8Array
}

/** Knows the secrets that protect the handshake messages. */
export class HandshakeStage {
  readonly #hkdf: Hkdf
  readonly #secret: Uint8Array

  /** @param sharedSecret (EC)DHE output; wiped here. */
  constructor(kdf: Hkdf, sharedSecret: Uint8Array) {
    this.#hkdf = kdf
    this.#secret = kdf.extract(kdf.derivedEarlySecret, sharedSecret)
    sharedSecret.fill(0)
  }

  /** @param transcriptHash over ClientHello..ServerHello */
  trafficSecrets(transcriptHash: Uint8Array): TrafficSecrets {
    return {
      client: this.#hkdf.deriveSecret(this.#secret, 'c hs traffic', transcriptHash),
      server: this.#hkdf.deriveSecret(this.#secret, 's hs traffic', transcriptHash),
    }
  }

  /** Consumes this stage. */
  master(): MasterStage {
    const derived = this.#hkdf.deriveSecret(this.#secret, 'derived', this.#hkdf.emptyHash)
    this.#secret.fill(0)
    return new MasterStage(this.#hkdf, derived)
  }
}

/** Knows the secrets that protect application data. */
export class MasterStage {
  readonly #hkdf: Hkdf
  readonly #secret: Uint8Array

  constructor(kdf: Hkdf, derived: Uint8Array) {
    this.#hkdf = kdf
    this.#secret = kdf.extract(derived, new Uint8Array(kdf.length))
    derived.fill(0)
  }

  /** @param transcriptHash over ClientHello..server Finished */
  trafficSecrets(transcriptHash: Uint8Array): TrafficSecrets {
    return {
      client: this.#hkdf.deriveSecret(this.#secret, 'c ap traffic', transcriptHash),
      server: this.#hkdf.deriveSecret(this.#secret, 's ap traffic', transcriptHash),
    }
  }

  /** @param transcriptHash over ClientHello..server Finished */
  exporterMasterSecret(transcriptHash: Uint8Array): Uint8Array {
    return this.#hkdf.deriveSecret(this.#secret, 'exp master', transcriptHash)
  }

  /** @param transcriptHash over ClientHello..client Finished */
  resumptionMasterSecret(transcriptHash: Uint8Array): Uint8Array {
    return this.#hkdf.deriveSecret(this.#secret, 'res master', transcriptHash)
  }

  /** Forgets the secret. */
  wipe(): void {
    this.#secret.fill(0)
  }
}

/** key and IV of one traffic secret. RFC 8446 §7.3. */
export function trafficKeys(
  kdf: Hkdf,
  secret: Uint8Array,
  keyBytes: number,
): { key: Uint8Array; iv: Uint8Array } {
  return {
    key: kdf.expandLabel(secret, 'key', NONE, keyBytes),
    iv: kdf.expandLabel(secret, 'iv', NONE, IV_BYTES),
  }
}

const IV_BYTES = 12

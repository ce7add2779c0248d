// The TLS 1.3 key schedule. RFC 8446 §7.1, HKDF of RFC 5869.
//
//      PSK or 0 ──▶ Early Secret (without PSK a constant of the hash) ──▶ res binder
//                      │ Derive-Secret(., "derived", "")
//     (EC)DHE ──▶ Handshake Secret ──▶ c hs traffic, s hs traffic
//                      │ Derive-Secret(., "derived", "")
//             0 ──▶ Master Secret ──▶ c ap traffic, s ap traffic, exp master, res master
//
// A stage is a class with that stage's secrets only; the next stage consumes it and wipes what it no longer needs.
import { digest, digestInto, type HashName } from '../crypto-provider.ts'

const NONE = new Uint8Array(0)
const INNER_PAD = 0x36 // RFC 2104 §2
const OUTER_PAD = 0x5c

/** Largest input of one HMAC here: a label of at most 18 characters, a hash of 48 bytes and four bytes of lengths. */
const MAX_HMAC_INPUT = 256

const encoder = new TextEncoder()
const labelled = (text: string): Uint8Array => encoder.encode(`tls13 ${text}`)

/** Every label of the schedule, as HkdfLabel carries it. */
const LABELS = {
  derived: labelled('derived'),
  'res binder': labelled('res binder'),
  resumption: labelled('resumption'),
  'c hs traffic': labelled('c hs traffic'),
  's hs traffic': labelled('s hs traffic'),
  'c ap traffic': labelled('c ap traffic'),
  's ap traffic': labelled('s ap traffic'),
  'exp master': labelled('exp master'),
  'res master': labelled('res master'),
  finished: labelled('finished'),
  key: labelled('key'),
  iv: labelled('iv'),
  'traffic upd': labelled('traffic upd'),
} as const
type Label = keyof typeof LABELS

/** HMAC and HKDF over one hash. One instance a hash: no length is chosen by `if` below. */
export class Hkdf {
  readonly hashName: HashName
  /** Hash.length in bytes. */
  readonly length: number
  readonly #block: number
  // Scratch of one synchronous computation: [key ⊕ pad ‖ input]. Wiped after use: it holds keys.
  readonly #inner: Uint8Array
  readonly #outer: Uint8Array
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
   * HMAC(key, input) = H(key ⊕ opad ‖ H(key ⊕ ipad ‖ input)), built from two one-shot hashes: cheaper than an Hmac object.
   * `key` is at most one block.
   */
  hmac(key: Uint8Array, input: Uint8Array): Uint8Array {
    if (input.length > MAX_HMAC_INPUT) return this.#hmacOfLong(key, input)
    this.#inner.set(input, this.#block)
    return this.#hmacOfScratch(key, input.length)
  }

  /** No message of a handshake needs it: for exporters of TLS 1.2, whose context may be long. */
  #hmacOfLong(key: Uint8Array, input: Uint8Array): Uint8Array {
    this.#pad(key)
    const inner = new Uint8Array(this.#block + input.length)
    inner.set(this.#inner.subarray(0, this.#block))
    inner.set(input, this.#block)
    digestInto(this.#outer, this.#block, this.hashName, inner)
    inner.fill(0)
    return this.#outerHash(0)
  }

  /** HMAC of the `inputBytes` that stand in the inner scratch already. `key` must be a secret: see {@link digestInto}. */
  #hmacOfScratch(key: Uint8Array, inputBytes: number): Uint8Array {
    this.#pad(key)
    digestInto(this.#outer, this.#block, this.hashName, this.#inner.subarray(0, this.#block + inputBytes))
    return this.#outerHash(inputBytes)
  }

  /**
   * HKDF-Extract(salt, IKM) = HMAC(salt, IKM). RFC 5869 §2.2. The salt may be known to all (it is, for the (EC)DHE secret of a
   * handshake without PSK): then the inner hash alone gives the result, so it stays in bytes that are wiped.
   */
  extract(salt: Uint8Array, keyMaterial: Uint8Array): Uint8Array {
    this.#inner.set(keyMaterial, this.#block)
    this.#pad(salt)
    const innerHash = digest(this.hashName, this.#inner.subarray(0, this.#block + keyMaterial.length))
    this.#outer.set(innerHash, this.#block)
    innerHash.fill(0)
    return this.#outerHash(keyMaterial.length)
  }

  /** Puts key ⊕ ipad and key ⊕ opad in front of the scratches. */
  #pad(key: Uint8Array): void {
    const inner = this.#inner
    const outer = this.#outer
    for (let index = 0; index < key.length; index++) {
      const byte = key[index] as number
      inner[index] = byte ^ INNER_PAD
      outer[index] = byte ^ OUTER_PAD
    }
    inner.fill(INNER_PAD, key.length, this.#block)
    outer.fill(OUTER_PAD, key.length, this.#block)
  }

  /** The result, and both scratches wiped. */
  #outerHash(inputBytes: number): Uint8Array {
    const result = digest(this.hashName, this.#outer)
    this.#inner.fill(0, 0, this.#block + inputBytes)
    this.#outer.fill(0)
    return result
  }

  /**
   * HKDF-Expand-Label(secret, label, context, length). RFC 8446 §7.1:
   *
   *     HkdfLabel = length(2) ‖ len(1) "tls13 " label ‖ len(1) context
   *
   * `length` is at most Hash.length, so HKDF-Expand (RFC 5869 §2.3) is its first block: HMAC(secret, HkdfLabel ‖ 01).
   */
  expandLabel(secret: Uint8Array, label: Label, context: Uint8Array, length: number): Uint8Array {
    const text = LABELS[label]
    const inner = this.#inner
    let at = this.#block
    inner[at++] = length >>> 8
    inner[at++] = length
    inner[at++] = text.length
    inner.set(text, at)
    at += text.length
    inner[at++] = context.length
    inner.set(context, at)
    at += context.length
    inner[at++] = FIRST_BLOCK
    const okm = this.#hmacOfScratch(secret, at - this.#block)
    return length === okm.length ? okm : okm.subarray(0, length)
  }

  /** Derive-Secret(secret, label, messages) with the messages' Transcript-Hash given. */
  deriveSecret(secret: Uint8Array, label: Label, transcriptHash: Uint8Array): Uint8Array {
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
}

/** The counter of HKDF-Expand's first block. */
const FIRST_BLOCK = 1

const HKDFS = { sha256: new Hkdf('sha256'), sha384: new Hkdf('sha384') } as const

export function hkdf(hashName: HashName): Hkdf {
  return HKDFS[hashName]
}

/** The two directions of one stage. */
export interface TrafficSecrets {
  readonly client: Uint8Array
  readonly server: Uint8Array
}

export function wipeTrafficSecrets({ client, server }: TrafficSecrets): void {
  client.fill(0)
  server.fill(0)
}

/** Knows the binder of a PSK. A handshake without PSK starts at {@link HandshakeStage}. */
export class EarlyStage {
  readonly #hkdf: Hkdf
  readonly #secret: Uint8Array

  constructor(kdf: Hkdf, psk: Uint8Array) {
    this.#hkdf = kdf
    this.#secret = kdf.extract(new Uint8Array(kdf.length), psk)
  }

  /** PskBinderEntry of a resumption PSK. RFC 8446 §4.2.11.2. @param transcriptHash up to the binders */
  binder(transcriptHash: Uint8Array): Uint8Array {
    const key = this.#hkdf.deriveSecret(this.#secret, 'res binder', this.#hkdf.emptyHash)
    const binder = this.#hkdf.verifyData(key, transcriptHash)
    key.fill(0)
    return binder
  }

  /** What the handshake secret is extracted with; consumes this stage. */
  derivedSecret(): Uint8Array {
    const derived = this.#hkdf.deriveSecret(this.#secret, 'derived', this.#hkdf.emptyHash)
    this.wipe()
    return derived
  }

  /** Forgets the secret. */
  wipe(): void {
    this.#secret.fill(0)
  }
}

/** Knows the secrets that protect the handshake messages. */
export class HandshakeStage {
  readonly #hkdf: Hkdf
  readonly #secret: Uint8Array

  /** @param sharedSecret (EC)DHE output; wiped here. @param early consumed. */
  constructor(kdf: Hkdf, sharedSecret: Uint8Array, early?: EarlyStage) {
    this.#hkdf = kdf
    const salt = early?.derivedSecret()
    this.#secret = kdf.extract(salt ?? kdf.derivedEarlySecret, sharedSecret)
    salt?.fill(0)
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

/** PSK = HKDF-Expand-Label(resumption_master_secret, "resumption", ticket_nonce, Hash.length). RFC 8446 §4.6.1. */
export function ticketPsk(kdf: Hkdf, resumptionMasterSecret: Uint8Array, nonce: Uint8Array): Uint8Array {
  return kdf.expandLabel(resumptionMasterSecret, 'resumption', nonce, kdf.length)
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

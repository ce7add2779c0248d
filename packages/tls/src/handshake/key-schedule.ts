// The TLS 1.3 key schedule. RFC 8446 §7.1, HKDF of RFC 5869.
//
//      PSK or 0 ──▶ Early Secret (without PSK a constant of the hash) ──▶ res binder
//                      │ Derive-Secret(., "derived", "")
//     (EC)DHE ──▶ Handshake Secret ──▶ c hs traffic, s hs traffic
//                      │ Derive-Secret(., "derived", "")
//             0 ──▶ Master Secret ──▶ c ap traffic, s ap traffic, exp master, res master
//
// A stage is a class with that stage's secrets only; the next stage consumes it and wipes what it no longer needs.
import { digest, type HashName, hkdfExtract, hmac } from '../crypto-provider.ts'

const NONE = new Uint8Array(0)

/** HkdfLabel and the counter: a label of at most 18 characters, a hash of 48 bytes and five more. */
const MAX_INFO_BYTES = 80

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
  // Scratch of one synchronous computation: HkdfLabel ‖ 01.
  readonly #info = new Uint8Array(MAX_INFO_BYTES)
  /** Hash of nothing. */
  readonly emptyHash: Uint8Array
  /** Derive-Secret(HKDF-Extract(0, 0), "derived", ""): where a handshake without PSK starts. */
  readonly derivedEarlySecret: Uint8Array

  constructor(hashName: HashName) {
    this.hashName = hashName
    this.length = hashName === 'sha256' ? 32 : 48
    this.emptyHash = digest(hashName, NONE)
    const zeros = new Uint8Array(this.length)
    this.derivedEarlySecret = this.deriveSecret(this.extract(zeros, zeros), 'derived', this.emptyHash)
  }

  /** HMAC(key, input), RFC 2104. `key` is a secret of at most one block. */
  hmac(key: Uint8Array, input: Uint8Array): Uint8Array {
    return hmac(this.hashName, key, input, input.length)
  }

  /**
   * HKDF-Extract(salt, IKM) = HMAC(salt, IKM). RFC 5869 §2.2. The salt may be known to all: it is, for the (EC)DHE secret of a
   * handshake without PSK.
   */
  extract(salt: Uint8Array, keyMaterial: Uint8Array): Uint8Array {
    return hkdfExtract(this.hashName, salt, keyMaterial)
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
    const info = this.#info
    let at = 0
    info[at++] = length >>> 8
    info[at++] = length
    info[at++] = text.length
    info.set(text, at)
    at += text.length
    info[at++] = context.length
    info.set(context, at)
    at += context.length
    info[at++] = FIRST_BLOCK
    const okm = hmac(this.hashName, secret, info, at)
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

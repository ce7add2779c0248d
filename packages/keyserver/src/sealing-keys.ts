// Seals what a client wants kept secret but not kept here: the state in a session ticket (RFC 5077 §4), say. Any key server
// with the same secrets unseals it, on any process, without a word between them.
//
// From each secret comes a key for every period of time, so keys rotate by themselves:
//
//   period key = HKDF-SHA256(secret, "latchkey seal period" ‖ period)       RFC 5869
//   blob key   = HKDF-SHA256(period key, salt, "latchkey seal blob")        a fresh salt for each blob
//   blob       = version ‖ secret id ‖ period ‖ salt ‖ AES-256-GCM(blob key, nonce 0, header as AAD)
//
// A key of its own for each blob: with random nonces of 96 bits under one key a busy fleet would come near the 2^32
// blobs that NIST SP 800-38D §8.3 allows.
import { createCipheriv, createDecipheriv, hkdfSync, randomFillSync } from 'node:crypto'
import { KeyServerError } from './errors.ts'

const VERSION = 1
const SECRET_ID_BYTES = 4
const PERIOD_BYTES = 4
const SALT_BYTES = 16
const TAG_BYTES = 16
const KEY_BYTES = 32
const HEADER_BYTES = 1 + SECRET_ID_BYTES + PERIOD_BYTES + SALT_BYTES
const NONCE = Buffer.alloc(12)
const CIPHER = 'aes-256-gcm'

/** What a secret must have at least: as much as the keys made of it. */
export const MIN_SEAL_SECRET_BYTES = KEY_BYTES
/** Blobs of a clock that is somewhat ahead of ours. */
const FUTURE_PERIODS = 1

export interface SealingKeysOptions {
  /** The first seals, all unseal. Not kept: what is derived of them is. */
  readonly secrets: readonly Uint8Array[]
  /** How long one key seals. */
  readonly rotationSeconds: number
  /** For how many rotations after its own a key still unseals. */
  readonly keptRotations: number
  readonly now?: () => Date
}

/** `expired`: sealed by a key that is retired, or not one of ours. `invalid`: not a blob, or changed. */
export type Unsealed = Uint8Array | 'expired' | 'invalid'

interface Secret {
  readonly id: Buffer
  /** What period keys come from. */
  readonly root: Buffer
  /** Period keys that were used, the newest last; at most as many as can be in use. */
  readonly periods: Map<number, Buffer>
}

/**
 * @throws {KeyServerError} ERR_KEYSERVER_SEAL_SECRET on a secret that is too short, or none.
 */
export class SealingKeys {
  readonly #secrets: readonly Secret[]
  readonly #rotationMs: number
  readonly #kept: number
  readonly #now: () => Date

  constructor({ secrets, rotationSeconds, keptRotations, now = () => new Date() }: SealingKeysOptions) {
    if (secrets.length === 0)
      throw new KeyServerError('ERR_KEYSERVER_SEAL_SECRET', { detail: 'there is none' })
    if (secrets.some((secret) => secret.length < MIN_SEAL_SECRET_BYTES)) {
      const detail = `one has less than ${MIN_SEAL_SECRET_BYTES} bytes`
      throw new KeyServerError('ERR_KEYSERVER_SEAL_SECRET', { detail })
    }
    this.#secrets = secrets.map((secret) => ({
      id: derive(secret, '', 'latchkey seal id').subarray(0, SECRET_ID_BYTES),
      root: derive(secret, '', 'latchkey seal root'),
      periods: new Map<number, Buffer>(),
    }))
    this.#rotationMs = rotationSeconds * 1000
    this.#kept = keptRotations
    this.#now = now
  }

  seal(content: Uint8Array): Uint8Array {
    const [secret] = this.#secrets as readonly [Secret]
    const period = this.#period()
    const blob = Buffer.allocUnsafeSlow(HEADER_BYTES + content.length + TAG_BYTES)
    blob[0] = VERSION
    secret.id.copy(blob, 1)
    blob.writeUInt32BE(period, 1 + SECRET_ID_BYTES)
    randomFillSync(blob, HEADER_BYTES - SALT_BYTES, SALT_BYTES)
    const header = blob.subarray(0, HEADER_BYTES)
    const cipher = createCipheriv(CIPHER, this.#blobKey(secret, period, header), NONCE)
    cipher.setAAD(header)
    cipher.update(content).copy(blob, HEADER_BYTES)
    cipher.final()
    cipher.getAuthTag().copy(blob, HEADER_BYTES + content.length)
    return blob
  }

  /** @returns memory that nobody else has: the caller wipes it. */
  unseal(sealed: Uint8Array): Unsealed {
    const blob = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
    if (blob.length < HEADER_BYTES + TAG_BYTES || blob[0] !== VERSION) return 'invalid'
    const header = blob.subarray(0, HEADER_BYTES)
    const id = header.subarray(1, 1 + SECRET_ID_BYTES)
    const period = header.readUInt32BE(1 + SECRET_ID_BYTES)
    const secret = this.#secrets.find((each) => each.id.equals(id))
    if (secret === undefined || !this.#isKept(period)) return 'expired'
    const decipher = createDecipheriv(CIPHER, this.#blobKey(secret, period, header), NONCE)
    decipher.setAAD(header)
    decipher.setAuthTag(blob.subarray(blob.length - TAG_BYTES))
    const content = decipher.update(blob.subarray(HEADER_BYTES, blob.length - TAG_BYTES))
    try {
      decipher.final()
    } catch {
      content.fill(0)
      return 'invalid'
    }
    return content
  }

  #period(): number {
    return Math.floor(this.#now().getTime() / this.#rotationMs)
  }

  #isKept(period: number): boolean {
    const age = this.#period() - period
    return age <= this.#kept && age >= -FUTURE_PERIODS
  }

  #blobKey(secret: Secret, period: number, header: Buffer): Buffer {
    return derive(
      this.#periodKey(secret, period),
      header.subarray(HEADER_BYTES - SALT_BYTES),
      'latchkey seal blob',
    )
  }

  #periodKey({ root, periods }: Secret, period: number): Buffer {
    const known = periods.get(period)
    if (known !== undefined) return known
    for (const old of periods.keys()) if (!this.#isKept(old)) periods.delete(old)
    const key = derive(root, '', `latchkey seal period ${period}`)
    periods.set(period, key)
    return key
  }
}

function derive(secret: Uint8Array, salt: Uint8Array | string, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, info, KEY_BYTES))
}

// The key schedule of TLS 1.2. RFC 5246 §5, §6.3, §8.1; RFC 7627 §4.
//
//     premaster ──▶ master secret ──▶ key block: client key, server key, client IV, server IV
//                                 └─▶ verify_data of both Finished messages
import { Writer } from '@latchkey/core'
import { type Exporter, exportedLength, exporterLabel } from '../exporter.ts'
import type { Hkdf } from '../handshake/key-schedule.ts'
import type { CipherSuite12 } from './cipher-suite12.ts'

const MASTER_SECRET_BYTES = 48
/** RFC 5246 §7.4.9: for all our suites. */
export const VERIFY_DATA_BYTES = 12

const encoder = new TextEncoder()
const LABELS = {
  master: encoder.encode('master secret'),
  extendedMaster: encoder.encode('extended master secret'),
  keyExpansion: encoder.encode('key expansion'),
  clientFinished: encoder.encode('client finished'),
  serverFinished: encoder.encode('server finished'),
} as const

/**
 * P_hash(secret, seed) = HMAC(secret, A(1) ‖ seed) ‖ HMAC(secret, A(2) ‖ seed) ‖ …, where A(0) = seed and
 * A(i) = HMAC(secret, A(i-1)). RFC 5246 §5. `seed` begins with the label: PRF(secret, label, seed) = P_hash(secret, label ‖ seed).
 */
export function pHash(kdf: Hkdf, secret: Uint8Array, seed: Uint8Array, length: number): Uint8Array {
  const output = new Uint8Array(length)
  const input = new Uint8Array(kdf.length + seed.length)
  input.set(seed, kdf.length)
  let a = kdf.hmac(secret, seed)
  for (let at = 0; at < length; at += kdf.length) {
    input.set(a)
    const block = kdf.hmac(secret, input)
    output.set(block.subarray(0, length - at), at)
    block.fill(0)
    const next = kdf.hmac(secret, a)
    a.fill(0)
    a = next
  }
  a.fill(0)
  input.fill(0)
  return output
}

function prf(
  kdf: Hkdf,
  secret: Uint8Array,
  label: keyof typeof LABELS,
  length: number,
  ...seed: readonly Uint8Array[]
): Uint8Array {
  const parts = [LABELS[label], ...seed]
  const labelled = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    labelled.set(part, at)
    at += part.length
  }
  return pHash(kdf, secret, labelled, length)
}

/** The two random values of the hellos, 32 bytes each. */
export interface Randoms {
  readonly client: Uint8Array
  readonly server: Uint8Array
}

/** What protects the records of one direction. Whoever gets it owns it. */
export interface DirectionKeys {
  readonly key: Uint8Array
  readonly fixedIv: Uint8Array
}

/** Knows the master secret of one session, 48 bytes. */
export class MasterSecret {
  readonly #kdf: Hkdf
  readonly #secret: Uint8Array

  private constructor(kdf: Hkdf, secret: Uint8Array) {
    this.#kdf = kdf
    this.#secret = secret
  }

  /** RFC 7627 §4: bound to the handshake. @param premaster wiped here @param sessionHash over ClientHello..ClientKeyExchange */
  static extended(kdf: Hkdf, premaster: Uint8Array, sessionHash: Uint8Array): MasterSecret {
    const secret = prf(kdf, premaster, 'extendedMaster', MASTER_SECRET_BYTES, sessionHash)
    premaster.fill(0)
    return new MasterSecret(kdf, secret)
  }

  /** RFC 5246 §8.1, for clients that do not know the extended one. @param premaster wiped here */
  static ofRandoms(kdf: Hkdf, premaster: Uint8Array, { client, server }: Randoms): MasterSecret {
    const secret = prf(kdf, premaster, 'master', MASTER_SECRET_BYTES, client, server)
    premaster.fill(0)
    return new MasterSecret(kdf, secret)
  }

  /** Of a session that goes on. @param secret 48 bytes, wiped here */
  static resumed(kdf: Hkdf, secret: Uint8Array): MasterSecret {
    const own = new Uint8Array(secret)
    secret.fill(0)
    return new MasterSecret(kdf, own)
  }

  /** What `use` makes of the secret, which it must not keep: a ticket. */
  lend<T>(use: (secret: Uint8Array) => T): T {
    return use(this.#secret)
  }

  /** RFC 5246 §6.3. AEAD suites have no MAC keys. */
  keys(
    { keyBytes, fixedIvBytes }: CipherSuite12,
    { client, server }: Randoms,
  ): { readonly client: DirectionKeys; readonly server: DirectionKeys } {
    const length = 2 * (keyBytes + fixedIvBytes)
    const block = prf(this.#kdf, this.#secret, 'keyExpansion', length, server, client)
    let at = 0
    const next = (bytes: number): Uint8Array => block.slice(at, (at += bytes))
    const keys = [next(keyBytes), next(keyBytes)] as const
    const ivs = [next(fixedIvBytes), next(fixedIvBytes)] as const
    block.fill(0)
    return {
      client: { key: keys[0], fixedIv: ivs[0] },
      server: { key: keys[1], fixedIv: ivs[1] },
    }
  }

  /** verify_data of a Finished message. RFC 5246 §7.4.9. @param transcriptHash over all messages before it */
  verifyData(sender: 'client' | 'server', transcriptHash: Uint8Array): Uint8Array {
    const label = sender === 'client' ? 'clientFinished' : 'serverFinished'
    return prf(this.#kdf, this.#secret, label, VERIFY_DATA_BYTES, transcriptHash)
  }

  /**
   * Keying material for other protocols. Whoever gets it wipes it. RFC 5705 §4:
   *
   *     PRF(master_secret, label, client_random ‖ server_random [‖ uint16 context length ‖ context])
   */
  exporter({ client, server }: Randoms): Exporter {
    const kdf = this.#kdf
    const secret = new Uint8Array(this.#secret)
    return {
      export: (label, context, length) => {
        const seed = new Writer(256).opaque(exporterLabel(label, 0)).opaque(client).opaque(server)
        if (context !== undefined) seed.opaque16(context)
        return pHash(kdf, secret, seed.finish(), exportedLength(length))
      },
      wipe: () => secret.fill(0),
    }
  }

  /** Forgets the secret. */
  wipe(): void {
    this.#secret.fill(0)
  }
}

// Key exchange groups. RFC 8446 §4.2.7, §4.2.8; the hybrid is draft-ietf-tls-ecdhe-mlkem.
import {
  encapsulateMlKem768,
  type EphemeralKey,
  exchangeWith,
  generateEcdh,
  generateX25519,
  hasMlKem,
  type KeyExchange,
  ML_KEM_768_KEY_BYTES,
} from '../crypto-provider.ts'
import { refuse } from '../errors.ts'

/**
 * `shareBytes`: exact length of a client's key_exchange. `generate`: our key, where it does not depend on the client's
 * share: the hybrid answers an encapsulation key, so it is not for TLS 1.2, where our share goes first.
 */
export const NAMED_GROUPS = {
  X25519MLKEM768: {
    code: 0x11ec,
    shareBytes: ML_KEM_768_KEY_BYTES + 32,
    generate: undefined,
    exchange: exchangeHybrid,
  },
  x25519: {
    code: 0x001d,
    shareBytes: 32,
    generate: generateX25519,
    exchange: (share: Uint8Array) => exchangeWith(generateX25519(), share),
  },
  secp256r1: {
    code: 0x0017,
    shareBytes: 65,
    generate: () => generateEcdh('prime256v1'),
    exchange: (share: Uint8Array) => exchangeWith(generateEcdh('prime256v1'), share),
  },
  secp384r1: {
    code: 0x0018,
    shareBytes: 97,
    generate: () => generateEcdh('secp384r1'),
    exchange: (share: Uint8Array) => exchangeWith(generateEcdh('secp384r1'), share),
  },
} as const satisfies Record<string, NamedGroupRow>

interface NamedGroupRow {
  readonly code: number
  readonly shareBytes: number
  readonly generate: (() => EphemeralKey) | undefined
  readonly exchange: (clientShare: Uint8Array) => KeyExchange
}

export type GroupName = keyof typeof NAMED_GROUPS
export interface NamedGroup extends NamedGroupRow {
  readonly name: GroupName
}

export function namedGroup(name: GroupName): NamedGroup {
  return { name, ...NAMED_GROUPS[name] }
}

/**
 * The post-quantum hybrid first, where this Node has it. secp384r1 must be asked for: it costs twenty times X25519, in
 * the event loop.
 */
export const DEFAULT_GROUPS: readonly GroupName[] = hasMlKem
  ? ['X25519MLKEM768', 'x25519', 'secp256r1']
  : ['x25519', 'secp256r1']

const UNCOMPRESSED_POINT = 0x04

/**
 * Checks the form of a client's share. OpenSSL would also take compressed and hybrid points of the NIST curves, which TLS
 * does not know (RFC 8446 §4.2.8.2), so length and first byte are ours to check; the curve equation is its.
 */
export function checkShare(group: NamedGroup, share: Uint8Array): void {
  if (share.length !== group.shareBytes)
    refuse('ERR_TLS_ILLEGAL_PARAMETER', `${group.name} share of ${share.length} bytes`)
  const isNistCurve = group.name === 'secp256r1' || group.name === 'secp384r1'
  if (isNistCurve && share[0] !== UNCOMPRESSED_POINT) {
    refuse('ERR_TLS_ILLEGAL_PARAMETER', `${group.name} share is not an uncompressed point`)
  }
}

/** @throws {TlsError} ERR_TLS_ILLEGAL_PARAMETER for a point off the curve or of low order. */
export function sharedSecretOf(exchange: Pick<KeyExchange, 'sharedSecret'>, group: NamedGroup): Uint8Array {
  try {
    return exchange.sharedSecret()
  } catch {
    // The library's reason tells the operator nothing more, and the peer must not learn it.
    return refuse('ERR_TLS_ILLEGAL_PARAMETER', `invalid ${group.name} share`)
  }
}

/**
 * draft-ietf-tls-ecdhe-mlkem §3:
 *
 *     client share = ML-KEM encapsulation key ‖ X25519 key
 *     server share = ML-KEM ciphertext ‖ X25519 key
 *     secret       = ML-KEM shared secret ‖ X25519 shared secret
 *
 * @throws {TlsError} ERR_TLS_ILLEGAL_PARAMETER for an encapsulation key that fails the modulus check.
 */
function exchangeHybrid(clientShare: Uint8Array): KeyExchange {
  const { sharedKey, ciphertext } = encapsulate(clientShare.subarray(0, ML_KEM_768_KEY_BYTES))
  const ecdh = exchangeWith(generateX25519(), clientShare.subarray(ML_KEM_768_KEY_BYTES))
  return {
    share: joined(ciphertext, ecdh.share),
    sharedSecret: () => {
      const ecdhSecret = ecdh.sharedSecret()
      const secret = joined(sharedKey, ecdhSecret)
      sharedKey.fill(0)
      ecdhSecret.fill(0)
      return secret
    },
  }
}

function encapsulate(encapsulationKey: Uint8Array): ReturnType<typeof encapsulateMlKem768> {
  try {
    return encapsulateMlKem768(encapsulationKey)
  } catch {
    return refuse('ERR_TLS_ILLEGAL_PARAMETER', 'invalid ML-KEM-768 key')
  }
}

/** Memory of its own: it holds a secret. */
function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const whole = new Uint8Array(first.length + second.length)
  whole.set(first)
  whole.set(second, first.length)
  return whole
}

// Key exchange groups. RFC 8446 §4.2.7, §4.2.8.
import { type EphemeralKey, generateP256, generateX25519 } from '../crypto-provider.ts'
import { refuse } from '../errors.ts'

/** `shareBytes`: exact length of a KeyShareEntry's key_exchange. */
export const NAMED_GROUPS = {
  x25519: { code: 0x001d, shareBytes: 32, generate: generateX25519 },
  secp256r1: { code: 0x0017, shareBytes: 65, generate: generateP256 },
} as const satisfies Record<string, NamedGroupRow>

interface NamedGroupRow {
  readonly code: number
  readonly shareBytes: number
  readonly generate: () => EphemeralKey
}

export type GroupName = keyof typeof NAMED_GROUPS
export interface NamedGroup extends NamedGroupRow {
  readonly name: GroupName
}

export function namedGroup(name: GroupName): NamedGroup {
  return { name, ...NAMED_GROUPS[name] }
}

export const DEFAULT_GROUPS: readonly GroupName[] = ['x25519', 'secp256r1']

const UNCOMPRESSED_POINT = 0x04

/**
 * Checks the form of a client's share. OpenSSL would also take compressed and hybrid P-256 points, which TLS does not
 * know (RFC 8446 §4.2.8.2), so length and first byte are ours to check; the curve equation is its.
 */
export function checkShare(group: NamedGroup, share: Uint8Array): void {
  if (share.length !== group.shareBytes)
    refuse('ERR_TLS_ILLEGAL_PARAMETER', `${group.name} share of ${share.length} bytes`)
  if (group.name === 'secp256r1' && share[0] !== UNCOMPRESSED_POINT) {
    refuse('ERR_TLS_ILLEGAL_PARAMETER', 'secp256r1 share is not an uncompressed point')
  }
}

/** @throws {TlsError} ERR_TLS_ILLEGAL_PARAMETER for a point off the curve or of low order. */
export function sharedSecret(key: EphemeralKey, group: NamedGroup, share: Uint8Array): Uint8Array {
  try {
    return key.deriveSharedSecret(share)
  } catch {
    // The library's reason tells the operator nothing more, and the peer must not learn it.
    return refuse('ERR_TLS_ILLEGAL_PARAMETER', `invalid ${group.name} share`)
  }
}

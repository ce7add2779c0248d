// The cipher suites of TLS 1.3: an AEAD and a hash. RFC 8446 §B.4.
import type { AeadName, HashName } from '../crypto-provider.ts'

/**
 * `recordLimit`: records sealed under one key before we ask for new ones. RFC 8446 §5.5 allows about 2^24.5 full
 * records for AES-GCM; ChaCha20-Poly1305 has no bound a connection could reach.
 */
export const CIPHER_SUITES = {
  TLS_AES_128_GCM_SHA256: {
    code: 0x1301,
    aead: 'aes-128-gcm',
    keyBytes: 16,
    hash: 'sha256',
    recordLimit: 2 ** 23,
  },
  TLS_AES_256_GCM_SHA384: {
    code: 0x1302,
    aead: 'aes-256-gcm',
    keyBytes: 32,
    hash: 'sha384',
    recordLimit: 2 ** 23,
  },
  TLS_CHACHA20_POLY1305_SHA256: {
    code: 0x1303,
    aead: 'chacha20-poly1305',
    keyBytes: 32,
    hash: 'sha256',
    recordLimit: 2 ** 36,
  },
} as const satisfies Record<string, CipherSuiteRow>

interface CipherSuiteRow {
  readonly code: number
  readonly aead: AeadName
  readonly keyBytes: number
  readonly hash: HashName
  readonly recordLimit: number
}

export type CipherSuiteName = keyof typeof CIPHER_SUITES
export interface CipherSuite extends CipherSuiteRow {
  readonly name: CipherSuiteName
}

export function cipherSuite(name: CipherSuiteName): CipherSuite {
  return { name, ...CIPHER_SUITES[name] }
}

/** Server preference: AES first, because servers have instructions for it. */
export const DEFAULT_CIPHER_SUITES: readonly CipherSuiteName[] = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
]

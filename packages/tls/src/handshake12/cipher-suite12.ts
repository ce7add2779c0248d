// The cipher suites of TLS 1.2 that are still good: ECDHE for forward secrecy, an AEAD for the records; and for clients that
// have nothing better, RSA key exchange with an AEAD.
// RFC 5289 §3.2 (AES-GCM), RFC 7905 §2 (ChaCha20-Poly1305), RFC 5288 §3 (RSA).
import type { AeadName, HashName } from '../crypto-provider.ts'

/** RFC 5288 §3: salt from the key block, explicit part in the record. After so many records we close: there is no KeyUpdate. */
const GCM = { fixedIvBytes: 4, explicitNonceBytes: 8, recordLimit: 2 ** 24 } as const
/** RFC 7905 §2: the whole nonce from the key block. No bound that a connection could reach. */
const CHACHA20 = { fixedIvBytes: 12, explicitNonceBytes: 0, recordLimit: 2 ** 48 } as const

const AES_128_GCM = { aead: 'aes-128-gcm', keyBytes: 16, hash: 'sha256', ...GCM } as const
const AES_256_GCM = { aead: 'aes-256-gcm', keyBytes: 32, hash: 'sha384', ...GCM } as const
const CHACHA20_POLY1305 = { aead: 'chacha20-poly1305', keyBytes: 32, hash: 'sha256', ...CHACHA20 } as const

/** By the name in IANA's registry. Server preference: AES first, because servers have instructions for it. */
export const CIPHER_SUITES12 = {
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: {
    code: 0xc02b,
    openSslName: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    keyExchange: 'ecdhe',
    authentication: 'ecdsa',
    ...AES_128_GCM,
  },
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: {
    code: 0xc02f,
    openSslName: 'ECDHE-RSA-AES128-GCM-SHA256',
    keyExchange: 'ecdhe',
    authentication: 'rsa',
    ...AES_128_GCM,
  },
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: {
    code: 0xc02c,
    openSslName: 'ECDHE-ECDSA-AES256-GCM-SHA384',
    keyExchange: 'ecdhe',
    authentication: 'ecdsa',
    ...AES_256_GCM,
  },
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: {
    code: 0xc030,
    openSslName: 'ECDHE-RSA-AES256-GCM-SHA384',
    keyExchange: 'ecdhe',
    authentication: 'rsa',
    ...AES_256_GCM,
  },
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: {
    code: 0xcca9,
    openSslName: 'ECDHE-ECDSA-CHACHA20-POLY1305',
    keyExchange: 'ecdhe',
    authentication: 'ecdsa',
    ...CHACHA20_POLY1305,
  },
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: {
    code: 0xcca8,
    openSslName: 'ECDHE-RSA-CHACHA20-POLY1305',
    keyExchange: 'ecdhe',
    authentication: 'rsa',
    ...CHACHA20_POLY1305,
  },
  TLS_RSA_WITH_AES_128_GCM_SHA256: {
    code: 0x009c,
    openSslName: 'AES128-GCM-SHA256',
    keyExchange: 'rsa',
    authentication: 'rsa',
    ...AES_128_GCM,
  },
  TLS_RSA_WITH_AES_256_GCM_SHA384: {
    code: 0x009d,
    openSslName: 'AES256-GCM-SHA384',
    keyExchange: 'rsa',
    authentication: 'rsa',
    ...AES_256_GCM,
  },
} as const satisfies Record<string, CipherSuite12Row>

interface CipherSuite12Row {
  readonly code: number
  readonly openSslName: string
  /** `rsa`: the client encrypts to the certificate's key, and whoever gets that key later reads it all. */
  readonly keyExchange: 'ecdhe' | 'rsa'
  /** The kind of key that signs ServerKeyExchange, or decrypts; Ed25519 goes with ECDSA (RFC 8422 §2). */
  readonly authentication: 'ecdsa' | 'rsa'
  readonly aead: AeadName
  readonly keyBytes: number
  /** Of the PRF and of the transcript. */
  readonly hash: HashName
  /** Bytes of the nonce that come from the key block … */
  readonly fixedIvBytes: number
  /** … and those that travel with each record. */
  readonly explicitNonceBytes: number
  /** Records that may be sealed under one key. */
  readonly recordLimit: number
}

export type CipherSuite12Name = keyof typeof CIPHER_SUITES12
export interface CipherSuite12 extends CipherSuite12Row {
  readonly name: CipherSuite12Name
}

export function cipherSuite12(name: CipherSuite12Name): CipherSuite12 {
  return { name, ...CIPHER_SUITES12[name] }
}

/** Those with forward secrecy: the others must be asked for by name. */
export const DEFAULT_CIPHER_SUITES12: readonly CipherSuite12Name[] = (
  Object.keys(CIPHER_SUITES12) as CipherSuite12Name[]
).filter((name) => CIPHER_SUITES12[name].keyExchange === 'ecdhe')

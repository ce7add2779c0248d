// The kinds of keys that can be made, and how web cryptography names them.
import { webcrypto } from 'node:crypto'

export type CryptoKey = webcrypto.CryptoKey
export type CryptoKeyPair = webcrypto.CryptoKeyPair

/** 65537, RFC 8017 §3.1: the exponent every client accepts. */
const RSA_EXPONENT = Uint8Array.of(1, 0, 1)

/** One row a kind of key: `generate` makes one, `sign` is how a CA with such a key signs a certificate. */
export const KEY_ALGORITHMS = {
  'ecdsa-p256': ecdsa('P-256', 'SHA-256'),
  'ecdsa-p384': ecdsa('P-384', 'SHA-384'),
  'ecdsa-p521': ecdsa('P-521', 'SHA-512'),
  'rsa-2048': rsa(2048),
  'rsa-3072': rsa(3072),
  'rsa-4096': rsa(4096),
  /** Too short, and signing with SHA-1: for certificates that are wrong on purpose. */
  'rsa-1024': rsa(1024),
  'rsa-2048-sha1': rsa(2048, 'SHA-1'),
  ed25519: { generate: { name: 'Ed25519' }, sign: { name: 'Ed25519' }, canEncrypt: false },
} as const satisfies Record<string, KeyAlgorithmRow>
export type KeyAlgorithm = keyof typeof KEY_ALGORITHMS

interface KeyAlgorithmRow {
  readonly generate: { readonly name: string }
  readonly sign: { readonly name: string; readonly hash?: string }
  /** Whether the key also serves RSA key exchange: decides keyUsage, RFC 5280 §4.2.1.3. */
  readonly canEncrypt: boolean
}

/** A fresh pair; the private key can be exported. */
export async function generateKeyPair(algorithm: KeyAlgorithm): Promise<CryptoKeyPair> {
  const pair = await webcrypto.subtle.generateKey(KEY_ALGORITHMS[algorithm].generate, true, [
    'sign',
    'verify',
  ])
  return pair as CryptoKeyPair // an algorithm that signs always has two halves
}

/** PKCS#8 (RFC 5958) in PEM (RFC 7468 §10). */
export async function privateKeyPem({ privateKey }: CryptoKeyPair): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', privateKey))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`
}

function ecdsa(namedCurve: string, hash: string) {
  return { generate: { name: 'ECDSA', namedCurve }, sign: { name: 'ECDSA', hash }, canEncrypt: false }
}

function rsa(modulusLength: number, hash = 'SHA-256') {
  const name = 'RSASSA-PKCS1-v1_5'
  const generate = { name, modulusLength, publicExponent: RSA_EXPONENT, hash }
  return { generate, sign: { name, hash }, canEncrypt: true }
}

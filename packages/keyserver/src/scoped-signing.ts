// Scoped signing (docs/scoped-signing.md): is this what a TLS server signs in a handshake, and nothing else?
//
// A digest says nothing about what was hashed, so whoever may have digests signed may have anything signed: a token, a
// certificate, a client's handshake. Here the key server sees the bytes, and only what cannot be anything else passes.
import { createHash } from 'node:crypto'
import { SIGNATURE_ALGORITHMS, type PrivateKey, type SignatureAlgorithm } from '@latchkey/keys'
import type { SigningScope } from '@latchkey/wire'

/**
 * RFC 8446 §4.4.3: 64 spaces, the context string of a server (a client's is another), and a zero. The spaces are there so
 * that no content of an older TLS begins like this.
 */
const SERVER_CONTEXT = Buffer.from(`${' '.repeat(64)}TLS 1.3, server CertificateVerify\0`)
/** Of SHA-256 and SHA-384: TLS 1.3 has no suite with another hash, RFC 8446 §B.4. */
const TRANSCRIPT_HASH_BYTES: ReadonlySet<number> = new Set([32, 48])
/** RFC 8446 §4.2.3: in TLS 1.3 the code point of ECDSA names the curve as well. PKCS#1 v1.5 is not among them. */
const TLS13_CURVES: Partial<Record<SignatureAlgorithm, string | undefined>> = {
  ecdsa_sha256: 'prime256v1',
  ecdsa_sha384: 'secp384r1',
  ecdsa_sha512: 'secp521r1',
  rsa_pss_sha256: undefined,
  rsa_pss_sha384: undefined,
  rsa_pss_sha512: undefined,
  ed25519: undefined,
}

/** RFC 5246 §7.4.1.4.1 and RFC 8422 §5.1.3, without MD5, SHA-1 and SHA-224 (RFC 9155). */
const TLS12_ALGORITHMS: ReadonlySet<SignatureAlgorithm> = new Set([
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
  'rsa_pss_sha256',
  'rsa_pss_sha384',
  'rsa_pss_sha512',
  'ecdsa_sha256',
  'ecdsa_sha384',
  'ecdsa_sha512',
  'ed25519',
])
/** client_random and server_random, RFC 5246 §7.4.1.2. */
const RANDOMS_BYTES = 64
/** RFC 8422 §5.4: curve_type named_curve. */
const NAMED_CURVE = 3
/** RFC 8422 §5.1.1 and the length of a public key on the curve, §5.4.1: uncompressed, or as RFC 7748 has it. */
const CURVES: ReadonlyMap<number, { readonly keyBytes: number; readonly firstByte?: number }> = new Map([
  [23, { keyBytes: 65, firstByte: 4 }], // secp256r1
  [24, { keyBytes: 97, firstByte: 4 }], // secp384r1
  [25, { keyBytes: 133, firstByte: 4 }], // secp521r1
  [29, { keyBytes: 32 }], // x25519
  [30, { keyBytes: 56 }], // x448
])

/** Why `content` is not what a TLS server signs with `algorithm` and this key; undefined: it is. */
export function scopeFlaw(
  scope: SigningScope,
  content: Uint8Array,
  algorithm: SignatureAlgorithm,
  key: Pick<PrivateKey, 'publicKey'>,
): string | undefined {
  return scope === 'tls13-server-cv'
    ? certificateVerifyFlaw(content, algorithm, key)
    : serverKeyExchangeFlaw(content, algorithm)
}

function certificateVerifyFlaw(
  content: Uint8Array,
  algorithm: SignatureAlgorithm,
  { publicKey }: Pick<PrivateKey, 'publicKey'>,
): string | undefined {
  if (!Object.hasOwn(TLS13_CURVES, algorithm)) return `TLS 1.3 does not sign with ${algorithm}`
  const curve = TLS13_CURVES[algorithm]
  if (curve !== undefined && publicKey.asymmetricKeyDetails?.namedCurve !== curve) {
    return `TLS 1.3 signs with ${algorithm} on ${curve} only`
  }
  if (Buffer.compare(content.subarray(0, SERVER_CONTEXT.length), SERVER_CONTEXT) !== 0) {
    return "not the context of a server's CertificateVerify"
  }
  const hashBytes = content.length - SERVER_CONTEXT.length
  return TRANSCRIPT_HASH_BYTES.has(hashBytes) ? undefined : `a transcript hash of ${hashBytes} bytes`
}

function serverKeyExchangeFlaw(content: Uint8Array, algorithm: SignatureAlgorithm): string | undefined {
  if (!TLS12_ALGORITHMS.has(algorithm)) return `TLS 1.2 does not sign with ${algorithm} here`
  const parameters = content.subarray(RANDOMS_BYTES)
  const [curveType, curveHigh = 0, curveLow = 0, keyBytes, firstByte] = parameters
  if (curveType !== NAMED_CURVE) return 'not a ServerKeyExchange on a named curve'
  const curve = CURVES.get((curveHigh << 8) | curveLow)
  if (curve === undefined) return `a ServerKeyExchange on curve ${(curveHigh << 8) | curveLow}`
  if (keyBytes !== curve.keyBytes || parameters.length !== 4 + curve.keyBytes) {
    return 'a ServerKeyExchange whose key has not the length of its curve'
  }
  return curve.firstByte === undefined || firstByte === curve.firstByte
    ? undefined
    : 'a ServerKeyExchange whose key is not an uncompressed point'
}

/** What the key signs: the digest of `content`, or for a scheme that hashes by itself the content. */
export function signingInput(content: Uint8Array, algorithm: SignatureAlgorithm): Uint8Array {
  const { hash } = SIGNATURE_ALGORITHMS[algorithm]
  return hash === undefined ? content : createHash(hash).update(content).digest()
}

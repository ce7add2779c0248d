// What the client does with points and signatures: node:crypto, through SubjectPublicKeyInfo only.
import {
  constants,
  createECDH,
  createPublicKey,
  diffieHellman,
  type ECDH,
  generateKeyPairSync,
  type KeyObject,
  publicEncrypt,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto'
import { ascii, concat, hex, u8 } from './bytes.ts'
import { GROUP, SCHEME } from './code-points.ts'

/** An ephemeral key of the client. */
export interface ClientKey {
  readonly group: number
  readonly share: Uint8Array
  derive(serverShare: Uint8Array): Uint8Array
}

const X25519_SPKI = hex('302a300506032b656e032100')

export function x25519PublicKey(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([X25519_SPKI, raw]), format: 'der', type: 'spki' })
}

function x25519Key(): ClientKey {
  const { publicKey, privateKey } = generateKeyPairSync('x25519')
  const share = publicKey.export({ format: 'der', type: 'spki' }).subarray(X25519_SPKI.length)
  return {
    group: GROUP.x25519,
    share,
    derive: (raw) => diffieHellman({ privateKey, publicKey: x25519PublicKey(raw) }),
  }
}

function ecKey(group: number, curve: 'prime256v1' | 'secp384r1'): ClientKey {
  const ecdh: ECDH = createECDH(curve)
  const share = ecdh.generateKeys()
  return { group, share, derive: (raw) => ecdh.computeSecret(raw) }
}

/** A fresh key. A group that no test server knows gets bytes of the right kind and cannot derive. */
export function clientKey(group: number): ClientKey {
  if (group === GROUP.x25519) return x25519Key()
  if (group === GROUP.secp256r1) return ecKey(group, 'prime256v1')
  if (group === GROUP.secp384r1) return ecKey(group, 'secp384r1')
  return {
    group,
    share: concat(u8(4), new Uint8Array(96).fill(1)),
    derive: () => {
      throw new Error(`the server chose group 0x${group.toString(16)}`)
    },
  }
}

/** What the leaf's key encrypts: with PKCS#1 v1.5 padding, or a whole block as it is. */
export function encryptTo(
  leaf: Uint8Array,
  content: Uint8Array,
  padding: 'pkcs1' | 'none' = 'pkcs1',
): Uint8Array {
  const key = new X509Certificate(leaf).publicKey
  const { RSA_PKCS1_PADDING, RSA_NO_PADDING } = constants
  return publicEncrypt({ key, padding: padding === 'none' ? RSA_NO_PADDING : RSA_PKCS1_PADDING }, content)
}

interface SchemeRow {
  readonly keyType: 'ec' | 'rsa' | 'ed25519'
  readonly hash: string | undefined
  readonly curve?: string
}

/** Schemes TLS 1.3 allows in CertificateVerify, RFC 8446 §4.2.3. */
const SCHEMES: Readonly<Record<number, SchemeRow>> = {
  [SCHEME.ecdsa_secp256r1_sha256]: { keyType: 'ec', hash: 'sha256', curve: 'prime256v1' },
  [SCHEME.ecdsa_secp384r1_sha384]: { keyType: 'ec', hash: 'sha384', curve: 'secp384r1' },
  [SCHEME.ecdsa_secp521r1_sha512]: { keyType: 'ec', hash: 'sha512', curve: 'secp521r1' },
  [SCHEME.rsa_pss_rsae_sha256]: { keyType: 'rsa', hash: 'sha256' },
  [SCHEME.rsa_pss_rsae_sha384]: { keyType: 'rsa', hash: 'sha384' },
  [SCHEME.rsa_pss_rsae_sha512]: { keyType: 'rsa', hash: 'sha512' },
  [SCHEME.ed25519]: { keyType: 'ed25519', hash: undefined },
}

function rowOf(scheme: number, key: KeyObject): SchemeRow {
  const row = SCHEMES[scheme]
  if (row === undefined) throw new Error(`scheme 0x${scheme.toString(16)} is not for TLS 1.3`)
  if (key.asymmetricKeyType !== row.keyType)
    throw new Error(`scheme 0x${scheme.toString(16)} with a wrong key`)
  if (row.curve !== undefined && key.asymmetricKeyDetails?.namedCurve !== row.curve) {
    throw new Error(`scheme 0x${scheme.toString(16)} with a wrong curve`)
  }
  return row
}

const PSS = {
  padding: constants.RSA_PKCS1_PSS_PADDING,
  saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
} as const

/** RFC 5246 §7.4.1.4.1 and RFC 8446 §4.4.3: in TLS 1.2 also PKCS#1 v1.5, and ECDSA with any curve. */
function rowOf12(scheme: number, key: KeyObject): SchemeRow & { readonly isPss: boolean } {
  const pkcs1 = PKCS1_HASHES[scheme]
  const row = pkcs1 === undefined ? SCHEMES12[scheme] : ({ keyType: 'rsa', hash: pkcs1 } as const)
  if (row === undefined || key.asymmetricKeyType !== row.keyType)
    throw new Error(`scheme 0x${scheme.toString(16)} with a ${String(key.asymmetricKeyType)} key in TLS 1.2`)
  return { ...row, isPss: row.keyType === 'rsa' && pkcs1 === undefined }
}

const PKCS1_HASHES: Readonly<Record<number, string>> = {
  [SCHEME.rsa_pkcs1_sha256]: 'sha256',
  [SCHEME.rsa_pkcs1_sha384]: 'sha384',
  [SCHEME.rsa_pkcs1_sha512]: 'sha512',
}

const SCHEMES12: Readonly<Record<number, SchemeRow>> = {
  ...SCHEMES,
  [SCHEME.ecdsa_secp521r1_sha512]: { keyType: 'ec', hash: 'sha512' },
}

/** Signs a ServerKeyExchange as a TLS 1.2 server would. */
export function signAs12(scheme: number, key: KeyObject, content: Uint8Array): Uint8Array {
  const { hash, isPss } = rowOf12(scheme, key)
  return sign(hash, content, isPss ? { key, ...PSS } : { key })
}

/** @throws if the leaf's key did not sign `content` with this scheme. */
export function checkServerKeyExchange(
  leaf: Uint8Array,
  scheme: number,
  signature: Uint8Array,
  content: Uint8Array,
): void {
  const key = new X509Certificate(leaf).publicKey
  const { hash, isPss } = rowOf12(scheme, key)
  if (!verify(hash, content, isPss ? { key, ...PSS } : { key }, signature)) {
    throw new Error('the ServerKeyExchange signature is wrong')
  }
}

/** Signs as a TLS 1.3 server would. */
export function signAs(scheme: number, key: KeyObject, content: Uint8Array): Uint8Array {
  const { keyType, hash } = rowOf(scheme, key)
  return sign(hash, content, keyType === 'rsa' ? { key, ...PSS } : { key })
}

/** What the server's CertificateVerify covers. RFC 8446 §4.4.3. */
export function serverSignedContent(transcriptHash: Uint8Array): Uint8Array {
  return signedContent('TLS 1.3, server CertificateVerify', transcriptHash)
}

/** What the client's CertificateVerify covers. */
export function clientSignedContent(transcriptHash: Uint8Array): Uint8Array {
  return signedContent('TLS 1.3, client CertificateVerify', transcriptHash)
}

function signedContent(context: string, transcriptHash: Uint8Array): Uint8Array {
  return concat(new Uint8Array(64).fill(0x20), ascii(context), u8(0), transcriptHash)
}

/** The scheme a client of either version would sign with. */
export function usualScheme({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): number {
  if (asymmetricKeyType === 'rsa') return SCHEME.rsa_pss_rsae_sha256
  if (asymmetricKeyType === 'ed25519') return SCHEME.ed25519
  switch (asymmetricKeyDetails?.namedCurve) {
    case 'secp384r1':
      return SCHEME.ecdsa_secp384r1_sha384
    case 'secp521r1':
      return SCHEME.ecdsa_secp521r1_sha512
    default:
      return SCHEME.ecdsa_secp256r1_sha256
  }
}

/** Whether it is a signature of TLS 1.3. @throws if the scheme is not for the key. */
export function verifyAs(
  scheme: number,
  key: KeyObject,
  content: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { keyType, hash } = rowOf(scheme, key)
  return verify(hash, content, keyType === 'rsa' ? { key, ...PSS } : { key }, signature)
}

/** @param signer the leaf, or a key. @throws if it did not sign this transcript with this scheme. */
export function checkCertificateVerify(
  signer: Uint8Array | KeyObject,
  scheme: number,
  signature: Uint8Array,
  transcriptHash: Uint8Array,
): void {
  const key = signer instanceof Uint8Array ? new X509Certificate(signer).publicKey : signer
  if (!verifyAs(scheme, key, serverSignedContent(transcriptHash), signature)) {
    throw new Error('the CertificateVerify signature is wrong')
  }
}

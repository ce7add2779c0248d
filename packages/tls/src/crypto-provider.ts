// The only importer of node:crypto in the engine: what differs between Node versions is decided here, once, at load.
import { release } from '@latchkey/core'
import * as crypto from 'node:crypto'
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash as newHash,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  type ECDH,
  generateKeyPairSync,
  type Hash,
  hash as hashOnce,
  hkdfSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomFillSync,
  sign,
  timingSafeEqual,
  verify,
  X509Certificate,
  constants,
} from 'node:crypto'

export type { KeyObject }
export { X509Certificate }

export type HashName = 'sha256' | 'sha384'
export type AeadName = 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305'

/**
 * What a handshake and a record call most, and what an implementation over another library may take over
 * (openssl/).
 */
export interface Primitives {
  digest(name: HashName, data: Uint8Array): Uint8Array
  createHash(name: HashName): RunningHash
  hmac(name: HashName, key: Uint8Array, input: Uint8Array, inputBytes: number): Uint8Array
  hkdfExtract(name: HashName, salt: Uint8Array, keyMaterial: Uint8Array): Uint8Array
  generateX25519(): EphemeralKey
  encapsulateMlKem768(encapsulationKey: Uint8Array): Encapsulated
  /** See {@link sealBuffer}. */
  readonly sealBuffer: Uint8Array
  seal(
    target: Uint8Array,
    at: number,
    name: AeadName,
    parameters: AeadParameters,
    plaintextBytes: number,
  ): void
  open(name: AeadName, parameters: AeadParameters, sealed: Uint8Array): Uint8Array | undefined
}

/** Of one sealed message. A nonce must not repeat under one key. */
export interface AeadParameters {
  readonly key: AeadKey
  readonly nonce: Uint8Array
  readonly additionalData: Uint8Array
}

/** Changes who computes, for all of this process, from now on. Both must give the same results. @returns who did before. */
export function usePrimitives(others: Primitives): Primitives {
  const before = primitives
  primitives = others
  return before
}

// ── hashes ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The digest of `data` in one call: a third of the cost of a Hash object. The caller owns the result. */
export function digest(name: HashName, data: Uint8Array): Uint8Array {
  return primitives.digest(name, data)
}

/** A hash that can be looked at while it grows. */
export interface RunningHash {
  update(data: Uint8Array): void
  /** Of everything so far; the caller owns the result. */
  digest(): Uint8Array
  /** Of everything so far and `data`, which is not added. */
  digestWith(data: Uint8Array): Uint8Array
}

export function createHash(name: HashName): RunningHash {
  return primitives.createHash(name)
}

/**
 * HMAC of the first `inputBytes` of `input`, RFC 2104. The caller owns the result.
 *
 * @param key a secret, at most one block of the hash
 */
export function hmac(name: HashName, key: Uint8Array, input: Uint8Array, inputBytes: number): Uint8Array {
  return primitives.hmac(name, key, input, inputBytes)
}

/** HKDF-Extract(salt, IKM) = HMAC(salt, IKM), RFC 5869 §2.2: an HMAC whose key others may know. The caller owns the result. */
export function hkdfExtract(name: HashName, salt: Uint8Array, keyMaterial: Uint8Array): Uint8Array {
  return primitives.hkdfExtract(name, salt, keyMaterial)
}

/** Whether two secrets-derived values are equal, in time that depends only on their (public) lengths. */
export function equalSecrets(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

// ── randomness ────────────────────────────────────────────────────────────────────────────────────────────────────

const POOL_BYTES = 4096
const pool = new Uint8Array(POOL_BYTES)
let poolAt = POOL_BYTES

/** `count` public random bytes (hello randoms, nonces; never keys) from a pool that saves a call a handshake. */
export function publicRandom(count: number): Uint8Array {
  if (count > POOL_BYTES) return randomFillSync(new Uint8Array(count))
  if (poolAt + count > POOL_BYTES) {
    randomFillSync(pool)
    poolAt = 0
  }
  const bytes = pool.slice(poolAt, poolAt + count)
  poolAt += count
  return bytes
}

// ── AEAD ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Bytes of the authentication tag of every AEAD we use. */
export const TAG_BYTES = 16

export type AeadKey = KeyObject | Uint8Array

/**
 * On Node 24 an AEAD key given as bytes costs 16 µs more a record than as a KeyObject; from Node 26 on it costs the same,
 * and making the KeyObject is what one can save. Takes the bytes over.
 */
export const importAeadKey: (bytes: Uint8Array) => AeadKey =
  Number.parseInt(process.versions.node, 10) >= 26
    ? (bytes) => bytes
    : (bytes) => {
        const key = createSecretKey(bytes)
        bytes.fill(0)
        return key
      }

/** Overwrites a key that is bytes; a KeyObject's memory is OpenSSL's to clear when it is collected. */
export function wipeAeadKey(key: AeadKey): void {
  if (key instanceof Uint8Array) key.fill(0)
}

// Both calls exist under one signature: node's typings split them by mode, the runtime does not.
type CreateAeadCipher = (
  name: AeadName,
  key: AeadKey,
  nonce: Uint8Array,
  options: typeof AEAD_OPTIONS,
) => import('node:crypto').CipherGCM
type CreateAeadDecipher = (
  name: AeadName,
  key: AeadKey,
  nonce: Uint8Array,
  options: typeof AEAD_OPTIONS,
) => import('node:crypto').DecipherGCM
const AEAD_OPTIONS = { authTagLength: TAG_BYTES } as const
const createAeadCipher = createCipheriv as unknown as CreateAeadCipher
const createAeadDecipher = createDecipheriv as unknown as CreateAeadDecipher

/** Most bytes that one {@link seal} takes: a record of TLS 1.3 with its type. */
export const MAX_SEALED_BYTES = 2 ** 14 + 1

/** Where the plaintext of the next {@link seal} is written: it goes from there into the cipher without a further copy. */
export function sealBuffer(): Uint8Array {
  return primitives.sealBuffer
}

/** Writes ciphertext ‖ tag of the first `plaintextBytes` of {@link sealBuffer} to `target`, which has room for them at `at`. */
export function seal(
  target: Uint8Array,
  at: number,
  name: AeadName,
  parameters: AeadParameters,
  plaintextBytes: number,
): void {
  primitives.seal(target, at, name, parameters, plaintextBytes)
}

/** The plaintext of ciphertext ‖ tag, the caller's; undefined if it does not authenticate. */
export function open(name: AeadName, parameters: AeadParameters, sealed: Uint8Array): Uint8Array | undefined {
  return primitives.open(name, parameters, sealed)
}

// ── key exchange ──────────────────────────────────────────────────────────────────────────────────────────────────

/** The server's half of one key exchange: made for one client share, used once. */
export interface KeyExchange {
  /** The server's share as it goes on the wire. */
  readonly share: Uint8Array
  /** The shared secret; the caller owns it. @throws if the client's share is not a valid point or gives the identity. */
  sharedSecret(): Uint8Array
}

const X25519_SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex') // RFC 8410 §4: 32 key bytes follow

interface RawX25519 {
  generate(): { publicKey: Uint8Array; privateKey: KeyObject }
  derive(privateKey: KeyObject, peer: Uint8Array): Uint8Array
}

/** Raw import and export: half the cost of going through SubjectPublicKeyInfo, where this Node has it. */
const rawX25519: RawX25519 = {
  generate: () =>
    (
      generateKeyPairSync as unknown as (
        type: string,
        options: object,
      ) => { publicKey: Uint8Array; privateKey: KeyObject }
    )('x25519', { publicKeyEncoding: { format: 'raw-public' } }),
  derive: (privateKey, peer) =>
    (diffieHellman as unknown as (options: object) => Uint8Array)({
      privateKey,
      publicKey: { key: peer, format: 'raw-public', asymmetricKeyType: 'x25519' },
    }),
}

const spkiX25519: RawX25519 = {
  generate: () => {
    const { publicKey, privateKey } = generateKeyPairSync('x25519')
    const spki = publicKey.export({ format: 'der', type: 'spki' })
    return { publicKey: spki.subarray(X25519_SPKI_PREFIX.length), privateKey }
  },
  derive: (privateKey, peer) => {
    const spki = Buffer.concat([X25519_SPKI_PREFIX, peer])
    return diffieHellman({
      privateKey,
      publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }),
    })
  },
}

/** Raw keys if this Node has them and they agree with the SPKI path; a wrong answer must not go unnoticed. */
function chooseX25519(): RawX25519 {
  try {
    const a = rawX25519.generate()
    const b = spkiX25519.generate()
    const agree = Buffer.compare(
      rawX25519.derive(a.privateKey, b.publicKey),
      spkiX25519.derive(b.privateKey, a.publicKey),
    )
    return a.publicKey.length === 32 && agree === 0 ? rawX25519 : spkiX25519
  } catch {
    return spkiX25519
  }
}

const x25519 = chooseX25519()

/** A key of ours whose peer is not known yet: in TLS 1.2 our share goes first. Used once. */
export interface EphemeralKey {
  /** Our share as it goes on the wire. */
  readonly share: Uint8Array
  /** The shared secret; the caller owns it. @throws if the client's share is not a valid point or gives the identity. */
  sharedSecret(clientShare: Uint8Array): Uint8Array
}

/** RFC 7748 §5. An all-zero result (a low-order peer point) is an error, RFC 8446 §7.4.2: OpenSSL checks it. */
export function generateX25519(): EphemeralKey {
  return primitives.generateX25519()
}

/** RFC 8446 §4.2.8.2. OpenSSL checks that the client's point is on the curve. */
export function generateEcdh(curve: 'prime256v1' | 'secp384r1'): EphemeralKey {
  const ecdh: ECDH = createECDH(curve)
  return { share: ecdh.generateKeys(), sharedSecret: (clientShare) => ecdh.computeSecret(clientShare) }
}

/** A key exchange with a share that is known already. */
export function exchangeWith(key: EphemeralKey, clientShare: Uint8Array): KeyExchange {
  return { share: key.share, sharedSecret: () => key.sharedSecret(clientShare) }
}

export const ML_KEM_768_KEY_BYTES = 1184
/** SubjectPublicKeyInfo of an ML-KEM-768 key up to its 1184 bytes. */
const ML_KEM_768_SPKI_PREFIX = Buffer.from('308204b2300b0609608648016503040402038204a100', 'hex')

/** Both are the caller's, who wipes the key. */
export interface Encapsulated {
  readonly sharedKey: Uint8Array
  readonly ciphertext: Uint8Array
}

// node's typings have neither raw keys nor, on Node 24, the functions.
interface MlKemCrypto {
  encapsulate(key: object): Encapsulated
  decapsulate(key: KeyObject, ciphertext: Uint8Array): Uint8Array
  generateKeyPairSync(type: 'ml-kem-768'): { publicKey: KeyObject; privateKey: KeyObject }
}
const mlKem = crypto as unknown as MlKemCrypto

const rawEncapsulate = (encapsulationKey: Uint8Array): Encapsulated =>
  mlKem.encapsulate({ key: encapsulationKey, format: 'raw-public', asymmetricKeyType: 'ml-kem-768' })

const spkiEncapsulate = (encapsulationKey: Uint8Array): Encapsulated => {
  const spki = Buffer.concat([ML_KEM_768_SPKI_PREFIX, encapsulationKey])
  return mlKem.encapsulate(createPublicKey({ key: spki, format: 'der', type: 'spki' }))
}

/** Raw import, a tenth cheaper, if this Node has it; undefined if it has no ML-KEM at all. */
const encapsulate = [rawEncapsulate, spkiEncapsulate].find((candidate) => {
  try {
    const { publicKey, privateKey } = mlKem.generateKeyPairSync('ml-kem-768')
    const spki = publicKey.export({ format: 'der', type: 'spki' })
    const { sharedKey, ciphertext } = candidate(spki.subarray(ML_KEM_768_SPKI_PREFIX.length))
    return equalSecrets(sharedKey, mlKem.decapsulate(privateKey, ciphertext))
  } catch {
    return false
  }
})

/** Whether this Node, with the OpenSSL it was built on, has ML-KEM. */
export const hasMlKem: boolean = encapsulate !== undefined

/**
 * Encapsulates to a client's key, FIPS 203 §7.2.
 *
 * @throws if the key does not pass the modulus check: OpenSSL does it on import.
 */
export function encapsulateMlKem768(encapsulationKey: Uint8Array): Encapsulated {
  return primitives.encapsulateMlKem768(encapsulationKey)
}

/** For the self-test of another implementation: what a client would have. Undefined if this Node has no ML-KEM. */
export function mlKemClient():
  | { readonly encapsulationKey: Uint8Array; open(ciphertext: Uint8Array): Uint8Array }
  | undefined {
  if (!hasMlKem) return undefined
  const { publicKey, privateKey } = mlKem.generateKeyPairSync('ml-kem-768')
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  return {
    encapsulationKey: spki.subarray(ML_KEM_768_SPKI_PREFIX.length),
    open: (ciphertext) => mlKem.decapsulate(privateKey, ciphertext),
  }
}

// ── signatures ────────────────────────────────────────────────────────────────────────────────────────────────────

/** How `node:crypto` is told about a signature: hash undefined for Ed25519, PSS with a salt as long as the hash. */
export interface SignatureParameters {
  readonly hash: 'sha256' | 'sha384' | 'sha512' | undefined
  readonly pss: boolean
}

function keyInput(key: KeyObject, { pss }: SignatureParameters) {
  return pss
    ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : { key, padding: constants.RSA_PKCS1_PADDING }
}

function keyOptions(key: KeyObject, parameters: SignatureParameters) {
  return key.asymmetricKeyType === 'rsa' ? keyInput(key, parameters) : { key }
}

export function verifySignature(
  key: KeyObject,
  parameters: SignatureParameters,
  content: Uint8Array,
  signature: Uint8Array,
): boolean {
  return verify(parameters.hash, content, keyOptions(key, parameters), signature)
}

export function signContent(
  key: KeyObject,
  parameters: SignatureParameters,
  content: Uint8Array,
): Uint8Array {
  return sign(parameters.hash, content, keyOptions(key, parameters))
}

/** A fresh key that signs; `curve` undefined: Ed25519. */
export function generateSignatureKey(curve: string | undefined): { spki: Uint8Array; privateKey: KeyObject } {
  const { publicKey, privateKey } =
    curve === undefined ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: curve })
  return { spki: publicKey.export({ format: 'der', type: 'spki' }), privateKey }
}

/** A SubjectPublicKeyInfo as a key; undefined if it is none. */
export function importPublicKey(spki: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch {
    return undefined
  }
}

/** SHA-256 of a public key's SubjectPublicKeyInfo: how the engine names a key. */
export function publicKeyId(key: KeyObject): { spki: Uint8Array; keyId: Uint8Array } {
  const spki = key.export({ format: 'der', type: 'spki' })
  return { spki, keyId: digest('sha256', spki) }
}

// ── RSA key exchange ─────────────────────────────────────────────────────────────────────────────────────────────

/** The modulus n, big-endian without leading zeros; empty for a key that is not RSA. */
export function rsaModulus(key: KeyObject): Uint8Array {
  if (key.asymmetricKeyType !== 'rsa') return new Uint8Array(0)
  return new Uint8Array(Buffer.from(key.export({ format: 'jwk' }).n as string, 'base64url'))
}

/**
 * c^d mod n, as long as n, with its padding, which nobody has looked at: OpenSSL blinds, and takes the same time for every
 * c. Whoever removes the padding must not branch on it either, see premaster-secret.ts.
 *
 * @throws if the ciphertext is not below the modulus.
 */
export function decryptRaw(key: KeyObject, ciphertext: Uint8Array): Uint8Array {
  return privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, ciphertext)
}

/** RSAES-PKCS1-v1_5, RFC 8017 §7.2.1. */
export function encryptPkcs1(key: KeyObject, message: Uint8Array): Uint8Array {
  return publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, message)
}

// ── tickets ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** `count` random bytes for keys: from no pool, in memory of their own, so that the caller can wipe the only copy. */
export function secretRandom(count: number): Uint8Array {
  return randomFillSync(new Uint8Array(count))
}

/** HKDF of RFC 5869 with SHA-256. The caller owns the result. */
export function hkdfSha256(
  secret: Uint8Array,
  salt: Uint8Array,
  info: Uint8Array,
  length: number,
): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, salt, info, length))
}

/**
 * AES-256-GCM of one message that is itself a secret: writes ciphertext ‖ tag to `target` at `at`. A nonce must not repeat
 * under one key.
 */
export function sealAes256Gcm(
  target: Uint8Array,
  at: number,
  parameters: AeadParameters,
  plaintext: Uint8Array,
): void {
  const buffer = sealBuffer()
  buffer.set(plaintext)
  seal(target, at, 'aes-256-gcm', parameters, plaintext.length)
  buffer.fill(0, 0, plaintext.length)
}

/** The plaintext of ciphertext ‖ tag, in memory of its own; undefined if it does not authenticate. */
export function openAes256Gcm(
  key: AeadKey,
  nonce: Uint8Array,
  additionalData: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  const plaintext = open('aes-256-gcm', { key, nonce, additionalData }, sealed)
  // A Buffer's slice() is a view; callers get the type that says what it is.
  return plaintext && new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length)
}

// ── fingerprints ──────────────────────────────────────────────────────────────────────────────────────────────────

/** A hash of public ASCII text, lower-case hexadecimal. MD5 names a JA3 fingerprint and protects nothing. */
export function textHash(name: 'md5' | 'sha256', text: string): string {
  return hashOnce(name, text, 'hex')
}

/** Whether this Node's OpenSSL has MD5: not in FIPS mode. */
export const hasMd5: boolean = (() => {
  try {
    return textHash('md5', '') !== ''
  } catch {
    return false
  }
})()

// ── what node:crypto gives ────────────────────────────────────────────────────────────────────────────────────────

const INNER_PAD = 0x36 // RFC 2104 §2
const OUTER_PAD = 0x5c

/** Scratch of one synchronous HMAC. Wiped after use: it holds keys. */
interface HmacScratch {
  readonly block: number
  readonly length: number
  /** key ⊕ ipad ‖ input */
  readonly inner: Uint8Array
  /** key ⊕ opad ‖ inner hash */
  readonly outer: Uint8Array
}

/** Most of what a handshake puts into one HMAC: a label of at most 18 characters, a hash of 48 bytes, four of lengths. */
const MAX_SHORT_INPUT_BYTES = 256

const hmacScratch = (block: number, length: number): HmacScratch => ({
  block,
  length,
  inner: new Uint8Array(block + MAX_SHORT_INPUT_BYTES),
  outer: new Uint8Array(block + length),
})
const HMAC_SCRATCH = { sha256: hmacScratch(64, 32), sha384: hmacScratch(128, 48) } as const

/** What Buffer.write(text, offset, 'latin1') calls after its checks: it takes any typed array; the typings leave it out. */
const { latin1Write } = Buffer.prototype as unknown as {
  latin1Write: (this: Uint8Array, text: string, offset: number) => number
}

/**
 * HMAC(key, input) = H(key ⊕ opad ‖ H(key ⊕ ipad ‖ input)), built from two one-shot hashes: cheaper than an Hmac object.
 *
 * @param isSecret whether the key is: the inner hash then passes through a string, which cannot be wiped, in a third of the
 * time a Buffer takes, and is of no use without the key. Decision 0003.
 */
function nodeHmac(
  name: HashName,
  key: Uint8Array,
  isSecret: boolean,
  input: Uint8Array,
  inputBytes: number,
): Uint8Array {
  const { block, length, inner: shortInner, outer } = HMAC_SCRATCH[name]
  if (key.length > block) throw new RangeError(`HMAC key of ${key.length} bytes`)
  const end = block + inputBytes
  const inner = inputBytes > MAX_SHORT_INPUT_BYTES ? new Uint8Array(end) : shortInner
  for (let index = 0; index < key.length; index++) {
    const byte = key[index] as number
    inner[index] = byte ^ INNER_PAD
    outer[index] = byte ^ OUTER_PAD
  }
  inner.fill(INNER_PAD, key.length, block)
  outer.fill(OUTER_PAD, key.length, block)
  for (let index = 0; index < inputBytes; index++) inner[block + index] = input[index] as number
  const message = inner.subarray(0, end)
  if (isSecret) {
    latin1Write.call(outer, hashOnce(name, message, 'latin1'), block)
  } else {
    const innerHash = hashOnce(name, message, 'buffer')
    outer.set(innerHash, block)
    innerHash.fill(0)
  }
  const result = hashOnce(name, outer, 'buffer')
  inner.fill(0, 0, end)
  outer.fill(0, 0, block + length)
  return result
}

class NodeHash implements RunningHash {
  readonly #hash: Hash

  constructor(name: HashName) {
    this.#hash = newHash(name)
  }

  update(data: Uint8Array): void {
    this.#hash.update(data)
  }

  digest(): Uint8Array {
    return this.#hash.copy().digest()
  }

  digestWith(data: Uint8Array): Uint8Array {
    return this.#hash.copy().update(data).digest()
  }
}

export const nodePrimitives: Primitives = {
  digest: (name, data) => hashOnce(name, data, 'buffer'),

  createHash: (name) => new NodeHash(name),

  hmac: (name, key, input, inputBytes) => nodeHmac(name, key, true, input, inputBytes),

  hkdfExtract: (name, salt, keyMaterial) => nodeHmac(name, salt, false, keyMaterial, keyMaterial.length),

  generateX25519() {
    const { publicKey, privateKey } = x25519.generate()
    return { share: publicKey, sharedSecret: (clientShare) => x25519.derive(privateKey, clientShare) }
  },

  encapsulateMlKem768(encapsulationKey) {
    if (encapsulate === undefined) throw new TypeError('this Node has no ML-KEM')
    return encapsulate(encapsulationKey)
  },

  sealBuffer: new Uint8Array(MAX_SEALED_BYTES),

  seal(target, at, name, { key, nonce, additionalData }, plaintextBytes) {
    const cipher = createAeadCipher(name, key, nonce, AEAD_OPTIONS)
    cipher.setAAD(additionalData)
    const ciphertext = cipher.update(nodePrimitives.sealBuffer.subarray(0, plaintextBytes))
    target.set(ciphertext, at)
    release(ciphertext)
    cipher.final()
    target.set(cipher.getAuthTag(), at + plaintextBytes)
  },

  open(name, { key, nonce, additionalData }, sealed) {
    const end = sealed.length - TAG_BYTES
    if (end < 0) return undefined
    const decipher = createAeadDecipher(name, key, nonce, AEAD_OPTIONS)
    decipher.setAAD(additionalData)
    decipher.setAuthTag(sealed.subarray(end))
    const plaintext = decipher.update(sealed.subarray(0, end))
    try {
      decipher.final()
    } catch {
      plaintext.fill(0)
      return undefined
    }
    return plaintext
  },
}

let primitives = nodePrimitives

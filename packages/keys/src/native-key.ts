// A PrivateKey whose secret is in OpenSSL's memory and nowhere else.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { KeysError } from './errors.ts'
import { locateKey } from './key-encoding.ts'
import { type DigestScheme, type DigestSigner, OpenSslKey } from './openssl.ts'
import {
  type BackgroundOperations,
  type KeyType,
  type PrivateKey,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
} from './private-key.ts'
import { type PublicHalf, readPublicHalf } from './public-half.ts'
import { rsaModulus, subjectKeyIdentifier, withoutLeadingZeros } from './ski.ts'

export interface LoadKeyOptions {
  /** Where the bytes came from, for messages and {@link PrivateKey.source}. */
  readonly source: string
  /** For an encrypted key. */
  readonly passphrase?: Uint8Array | undefined
  /** Takes RSA keys below 2048 bits as well. Default false. */
  readonly allowWeakRsa?: boolean | undefined
  /** Proves that the two halves belong together. Default true. */
  readonly isChecked?: boolean | undefined
}

/** NIST SP 800-131A: less is not acceptable for signatures since 2014. */
const MIN_RSA_BITS = 2048
/** Go's and other TLS clients refuse more, and one signature of more would hold the event loop for tens of ms. */
const MAX_RSA_BITS = 8192
/** Less does not hold one SHA-256 PKCS#1 signature, whatever the operator allows. */
const ABSOLUTE_MIN_RSA_BITS = 512

type SupportedHalf = Exclude<PublicHalf, { readonly kind: 'other' }>

interface Loaded {
  readonly handle: OpenSslKey
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array
  readonly half: SupportedHalf
}

/** A signature takes some 20 µs: less than handing it to another thread. On the other curves it takes ten times that. */
const QUICK_CURVE = 'prime256v1'

/** RFC 8017 §9.2 note 1: what DigestInfo adds in front of the digest. */
const DIGEST_INFO_BYTES: Readonly<Record<string, number>> = {
  'md5-sha1': 0,
  sha1: 15,
  sha224: 19,
  sha256: 19,
  sha384: 19,
  sha512: 19,
}

/**
 * Loads one private key from the bytes of a file: PEM (with anything around it) or DER, PKCS#8, PKCS#1 or SEC1.
 *
 * `bytes` are wiped before this returns or throws: hand over a buffer of your own (`Buffer.allocUnsafeSlow`).
 *
 * @throws {KeysError} ERR_KEYS_FORMAT, ERR_KEYS_PASSPHRASE, ERR_KEYS_UNSUPPORTED, ERR_KEYS_WEAK, ERR_KEYS_MISMATCH,
 * ERR_KEYS_NATIVE
 */
export function loadPrivateKey(bytes: Buffer, options: LoadKeyOptions): NativePrivateKey {
  try {
    return NativePrivateKey.fromHandle(decode(bytes, options), options)
  } finally {
    bytes.fill(0)
  }
}

function decode(bytes: Buffer, { source, passphrase }: LoadKeyOptions): OpenSslKey {
  const encoded = locateKey(bytes, source)
  if (encoded.isEncrypted && (passphrase === undefined || passphrase.length === 0)) {
    throw new KeysError('ERR_KEYS_PASSPHRASE', {
      path: source,
      found: 'an encrypted private key and no passphrase',
      hint: `put the passphrase into "${source}.passphrase", or name its file in the configuration`,
    })
  }
  try {
    return OpenSslKey.decode(encoded.format, encoded.bytes, encoded.isEncrypted ? passphrase : undefined)
  } catch (cause) {
    if (!(cause instanceof KeysError) || cause.code !== 'ERR_KEYS_CRYPTO') throw cause
    const found = `a damaged key or one of an unknown kind (${cause.detail ?? 'no reason given'})`
    if (!encoded.isEncrypted) throw new KeysError('ERR_KEYS_FORMAT', { path: source, found, cause })
    throw new KeysError('ERR_KEYS_PASSPHRASE', {
      path: source,
      detail: cause.detail,
      hint: 'most likely the passphrase is wrong',
      cause,
    })
  }
}

/** A private key that signs at once, in this process. Made by {@link loadPrivateKey} or a file store. */
export class NativePrivateKey implements PrivateKey {
  readonly ski: Uint8Array
  readonly keyType: KeyType
  readonly algorithms: ReadonlySet<SignatureAlgorithm>
  readonly source: string
  readonly background?: BackgroundOperations
  readonly decryptRaw?: (ciphertext: Uint8Array, options?: { signal?: AbortSignal }) => Uint8Array

  readonly #handle: OpenSslKey
  readonly #spki: Uint8Array
  readonly #half: SupportedHalf
  readonly #signers = new Map<SignatureAlgorithm, DigestSigner>()
  #publicKey: KeyObject | undefined

  private constructor({ handle, spki, half }: Loaded, source: string) {
    this.#handle = handle
    this.#spki = spki
    this.#half = half
    this.source = source
    this.keyType = half.kind
    this.ski = subjectKeyIdentifier(spki)
    this.algorithms = algorithmsOf(half)
    const sign = (algorithm: SignatureAlgorithm, input: Uint8Array): Promise<Uint8Array> =>
      this.#signInBackground(algorithm, input)
    if (half.kind === 'ec' && half.curve !== QUICK_CURVE) this.background = { sign }
    if (half.kind !== 'rsa') return
    const block = (ciphertext: Uint8Array): Uint8Array => rsaBlock(rsaModulus(spki), ciphertext)
    this.decryptRaw = (ciphertext, options) => {
      options?.signal?.throwIfAborted()
      return handle.decryptRaw(block(ciphertext))
    }
    const decryptRaw = async (ciphertext: Uint8Array): Promise<Uint8Array> =>
      await handle.decryptRawInBackground(block(ciphertext))
    this.background = { sign, decryptRaw }
  }

  /** Takes ownership of `handle`: it is freed with the key, or at once if the key is refused. */
  static fromHandle(
    handle: OpenSslKey,
    { source, allowWeakRsa = false, isChecked = true }: LoadKeyOptions,
  ): NativePrivateKey {
    try {
      const spki = handle.publicKey()
      const half = supportedHalf(spki, source, allowWeakRsa)
      const key = new NativePrivateKey({ handle, spki, half }, source)
      if (isChecked) key.#checkHalves()
      return key
    } catch (cause) {
      handle[Symbol.dispose]()
      throw cause
    }
  }

  /** The public half; made when it is first asked for. */
  get publicKey(): KeyObject {
    this.#publicKey ??= createPublicKey({ key: Buffer.from(this.#spki), format: 'der', type: 'spki' })
    return this.#publicKey
  }

  /** The same key under the name it has now; both are freed together. */
  withSource(source: string): NativePrivateKey {
    return new NativePrivateKey({ handle: this.#handle, spki: this.#spki, half: this.#half }, source)
  }

  sign(algorithm: SignatureAlgorithm, input: Uint8Array, options?: { signal?: AbortSignal }): Uint8Array {
    options?.signal?.throwIfAborted()
    this.#check(algorithm, input)
    return algorithm === 'ed25519' ? this.#handle.signMessage(input) : this.#signer(algorithm).sign(input)
  }

  /** Frees the private half. Twice is harmless. */
  [Symbol.dispose](): void {
    this.#signers.clear()
    this.#handle[Symbol.dispose]()
  }

  async #signInBackground(algorithm: SignatureAlgorithm, input: Uint8Array): Promise<Uint8Array> {
    this.#check(algorithm, input)
    return await this.#signer(algorithm).signInBackground(input)
  }

  #check(algorithm: SignatureAlgorithm, input: Uint8Array): void {
    if (!this.algorithms.has(algorithm)) {
      throw new KeysError('ERR_KEYS_ALGORITHM', {
        found: `an ${this.keyType} key asked for ${algorithm}`,
      })
    }
    const { digestBytes } = SIGNATURE_ALGORITHMS[algorithm]
    if (digestBytes !== undefined && input.length !== digestBytes) {
      throw new KeysError('ERR_KEYS_DIGEST_LENGTH', {
        found: `${input.length} bytes`,
        expected: `${digestBytes} for ${algorithm}`,
      })
    }
  }

  #signer(algorithm: SignatureAlgorithm): DigestSigner {
    let signer = this.#signers.get(algorithm)
    if (signer === undefined) {
      signer = this.#handle.prepare(schemeOf(algorithm))
      this.#signers.set(algorithm, signer)
    }
    return signer
  }

  /**
   * One signature, verified with the public half: a file whose public point belongs to another scalar, or whose
   * numbers are damaged, is found when it is loaded and not by every client.
   */
  #checkHalves(): void {
    let isGood: boolean
    try {
      isGood = this.#handle.isPair()
    } catch (cause) {
      throw new KeysError('ERR_KEYS_MISMATCH', { path: this.source, detail: 'it cannot sign', cause })
    }
    if (isGood) return
    throw new KeysError('ERR_KEYS_MISMATCH', {
      path: this.source,
      hint: 'the file is damaged, or was put together from two keys',
    })
  }
}

/** Keyless has no way to ask for anything else: no Ed448, no secp256k1, and no key restricted to PSS. */
function supportedHalf(spki: Uint8Array, source: string, allowWeakRsa: boolean): SupportedHalf {
  const half = readPublicHalf(spki)
  if (half.kind === 'other') throw unsupported(source, ...describeOther(spki))
  if (half.kind !== 'rsa') return half
  const { bits } = half
  if (bits > MAX_RSA_BITS || bits < ABSOLUTE_MIN_RSA_BITS) {
    const hint = `${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits can be used`
    throw unsupported(source, `an RSA key of ${bits} bits`, hint)
  }
  if (bits < MIN_RSA_BITS && !allowWeakRsa) {
    throw new KeysError('ERR_KEYS_WEAK', {
      path: source,
      found: `an RSA key of ${bits} bits`,
      expected: `at least ${MIN_RSA_BITS}`,
      hint: 'replace the key; allowWeakRsa loads it all the same',
    })
  }
  return half
}

function unsupported(source: string, found: string, hint?: string): KeysError {
  const expected = 'RSA, EC P-224/P-256/P-384/P-521 or Ed25519'
  return new KeysError('ERR_KEYS_UNSUPPORTED', { path: source, found, expected, hint })
}

/** What Node calls it, and what would help. */
function describeOther(spki: Uint8Array): [found: string, hint?: string] {
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch {
    return ['a kind of key that Node does not know']
  }
  const { asymmetricKeyType, asymmetricKeyDetails } = key
  if (asymmetricKeyType === 'ec')
    return [`an EC key on ${asymmetricKeyDetails?.namedCurve ?? 'an unnamed curve'}`]
  return asymmetricKeyType === 'rsa-pss'
    ? [
        'an RSA key restricted to PSS (id-RSASSA-PSS)',
        'a plain RSA key signs PSS too; the certificate must then say rsaEncryption',
      ]
    : [`a key of type ${asymmetricKeyType ?? 'unknown'}`]
}

/** Shared by all keys of a kind. */
const algorithmSets = new Map<string, ReadonlySet<SignatureAlgorithm>>()

/** What the key can do: its type's rows of the table, less what a short modulus has no room for. */
function algorithmsOf(half: SupportedHalf): ReadonlySet<SignatureAlgorithm> {
  const bits = half.kind === 'rsa' ? half.bits : 0
  const name = `${half.kind} ${bits}`
  const known = algorithmSets.get(name)
  if (known !== undefined) return known
  const names = Object.keys(SIGNATURE_ALGORITHMS) as SignatureAlgorithm[]
  const algorithms = new Set(
    names.filter((each) => SIGNATURE_ALGORITHMS[each].keyType === half.kind && hasRoom(each, bits)),
  )
  algorithmSets.set(name, algorithms)
  return algorithms
}

function hasRoom(algorithm: SignatureAlgorithm, modulusBits: number): boolean {
  const { keyType, hash, digestBytes } = SIGNATURE_ALGORITHMS[algorithm]
  if (keyType !== 'rsa') return true
  // RFC 8017 §9.1.1: emLen ≥ hLen + sLen + 2, of modBits - 1 bits. §9.2: k ≥ tLen + 11.
  if (isPss(algorithm)) return Math.ceil((modulusBits - 1) / 8) >= 2 * digestBytes + 2
  return Math.ceil(modulusBits / 8) >= (DIGEST_INFO_BYTES[hash] as number) + digestBytes + 11
}

function schemeOf(algorithm: SignatureAlgorithm): DigestScheme {
  const { keyType, hash } = SIGNATURE_ALGORITHMS[algorithm]
  if (keyType !== 'rsa') return { padding: 'ecdsa' }
  return { padding: isPss(algorithm) ? 'pss' : 'pkcs1', hash }
}

function isPss(algorithm: SignatureAlgorithm): boolean {
  return algorithm.startsWith('rsa_pss_')
}

/**
 * The ciphertext is an integer: zeros in front do not count, and c = n is taken as 0. All branches here are on the
 * ciphertext, which the peer chose; nothing looks at the plaintext.
 */
function rsaBlock(modulus: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  const integer = withoutLeadingZeros(ciphertext)
  const order = compareIntegers(integer, modulus)
  if (order > 0) {
    throw new KeysError('ERR_KEYS_CRYPTO', { detail: 'the ciphertext is larger than the modulus' })
  }
  const block = new Uint8Array(modulus.length)
  if (order < 0) block.set(integer, modulus.length - integer.length)
  return block
}

/** Both big-endian, without leading zeros. */
function compareIntegers(left: Uint8Array, right: Uint8Array): number {
  return left.length === right.length ? Buffer.compare(left, right) : left.length - right.length
}

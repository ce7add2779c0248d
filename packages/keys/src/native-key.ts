// A PrivateKey whose secret is in OpenSSL's memory and nowhere else.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { algorithmsOf, isPss } from './algorithms.ts'
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
import { rsaBlock } from './rsa-block.ts'
import { type SupportedHalf, supportedHalf } from './supported-half.ts'
import { rsaModulus, subjectKeyIdentifier } from './ski.ts'

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

interface Loaded {
  readonly handle: OpenSslKey
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array
  readonly half: SupportedHalf
}

/** A signature takes some 20 µs: less than handing it to another thread. On the other curves it takes ten times that. */
const QUICK_CURVE = 'prime256v1'

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
function schemeOf(algorithm: SignatureAlgorithm): DigestScheme {
  const { keyType, hash } = SIGNATURE_ALGORITHMS[algorithm]
  if (keyType !== 'rsa') return { padding: 'ecdsa' }
  return { padding: isPss(algorithm) ? 'pss' : 'pkcs1', hash }
}

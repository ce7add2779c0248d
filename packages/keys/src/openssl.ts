// The one file that calls C: private keys held by the OpenSSL inside Node (functions: openssl-functions.ts).
//
// Why not node:crypto: Keyless sends ready-made digests, and `crypto.sign` would hash them again. And a private key
// that only OpenSSL ever sees cannot be found in the JavaScript heap, a heap snapshot or a string.
//
// Memory: OpenSSL keeps no pointer into our buffers past the call (the one exception, a BIO over a key file, lives
// inside one function). Every `EVP_PKEY*` and context is owned by one OpenSslKey and freed by its dispose.
// What runs on this thread shares scratch buffers and contexts, since it is never interrupted. What runs on libuv's pool
// has both to itself until it calls back, and a key that is disposed meanwhile is freed after the last of them.
import { KeysError } from './errors.ts'
import { bindOpenSsl, type OpenSsl, type Pointer } from './openssl-functions.ts'

/** openssl/rsa.h, openssl/evp.h */
const RSA_PADDING = { pkcs1: 1, none: 3, pss: 6 } as const
const RSA_PSS_SALTLEN_DIGEST = -1
const EVP_PKEY_KEYPAIR = 0x87

/** Longest signature or SubjectPublicKeyInfo that fits: RSA-8192 takes 1024 and about 1060 bytes. */
const SCRATCH_BYTES = 4096
/** OpenSSL queues at most 16 errors (ERR_NUM_ERRORS). */
const MAX_QUEUED_ERRORS = 16
const ERROR_TEXT_BYTES = 256
/** RFC 5480 §2: id-ecPublicKey on secp256r1, then a BIT STRING of an uncompressed point. */
const P256_SPKI_START = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex')
/** As long as a SHA-256; PKCS#1 v1.5 without a hash name pads it as it is. */
const PROBE = new Uint8Array(32).fill(0x5a)

/** How a digest becomes a signature. ECDSA takes any digest and needs no hash name. */
export type DigestScheme =
  | { readonly padding: 'pkcs1' | 'pss'; readonly hash: string }
  | { readonly padding: 'ecdsa' }

/** A scheme made ready for one key: EVP_PKEY_sign(3) allows any number of signatures on one context. */
export interface DigestSigner {
  /** @throws {KeysError} ERR_KEYS_CRYPTO, ERR_KEYS_DISPOSED */
  sign(digest: Uint8Array): Uint8Array
  /**
   * The same on a thread of libuv's pool.
   *
   * @throws {KeysError} ERR_KEYS_CRYPTO, ERR_KEYS_DISPOSED, as a rejection.
   */
  signInBackground(digest: Uint8Array): Promise<Uint8Array>
}

let bound: OpenSsl | undefined

/** Bound on first use, so that a program without native keys does not need koffi. */
function native(): OpenSsl {
  bound ??= bindOpenSsl()
  return bound
}

const scratch = new Uint8Array(new ArrayBuffer(SCRATCH_BYTES))
const usedLength = new BigUint64Array(new ArrayBuffer(8))
const SCRATCH_LENGTH = BigInt(SCRATCH_BYTES)

/** What has to be freed, apart from the key object, so that the collector can free what nobody disposed. */
interface Owned {
  pkey: Pointer
  readonly contexts: Pointer[]
  /** Calls on the pool that use the key or a context of it. */
  underWay: number
  isForgotten: boolean
}

const forgotten = new FinalizationRegistry<Owned>(release)

function release(owned: Owned): void {
  owned.isForgotten = true
  if (owned.underWay > 0) return
  const { EVP_PKEY_CTX_free, EVP_PKEY_free } = native()
  for (const context of owned.contexts.splice(0)) EVP_PKEY_CTX_free(context)
  if (owned.pkey !== null) EVP_PKEY_free(owned.pkey)
  owned.pkey = null
}

/** One private key in OpenSSL's memory. Using it after dispose is ERR_KEYS_DISPOSED. */
export class OpenSslKey {
  readonly #owned: Owned
  #decrypting: Pointer = null
  readonly #idleDecrypting: Pointer[] = []

  private constructor(pkey: Pointer) {
    this.#owned = { pkey, contexts: [], underWay: 0, isForgotten: false }
    forgotten.register(this, this.#owned, this)
  }

  /**
   * Decodes a private key. `bytes` are only read; wiping them is the caller's part.
   *
   * @throws {KeysError} ERR_KEYS_CRYPTO with OpenSSL's reasons, ERR_KEYS_NATIVE.
   */
  static decode(format: 'PEM' | 'DER', bytes: Uint8Array, passphrase?: Uint8Array): OpenSslKey {
    const openssl = native()
    // OSSL_DECODER, not PEM_read_bio_PrivateKey: without a passphrase the latter asks the terminal.
    const pkey = new BigUint64Array(new ArrayBuffer(8)) // written to by a later call: must not move
    const bio = checkedPointer(openssl.BIO_new_mem_buf(bytes, bytes.length))
    const decoder = openssl.OSSL_DECODER_CTX_new_for_pkey(
      pkey,
      format,
      null,
      null,
      EVP_PKEY_KEYPAIR,
      null,
      null,
    )
    try {
      checkedPointer(decoder)
      if (passphrase !== undefined) {
        check(openssl.OSSL_DECODER_CTX_set_passphrase(decoder, passphrase, passphrase.length))
      }
      check(openssl.OSSL_DECODER_from_bio(decoder, bio))
      openssl.ERR_clear_error()
      return new OpenSslKey(checkedPointer(pkey[0] || null))
    } finally {
      openssl.OSSL_DECODER_CTX_free(decoder)
      openssl.BIO_free(bio)
    }
  }

  /** The public half: SubjectPublicKeyInfo in DER, an EC point always uncompressed. */
  publicKey(): Uint8Array {
    const openssl = native()
    const pkey = this.#pkey()
    // A file may hold the point compressed; the SKI is over the uncompressed one.
    if (openssl.EVP_PKEY_is_a(pkey, 'EC') === 1) {
      check(openssl.EVP_PKEY_set_utf8_string_param(pkey, 'point-format', 'uncompressed'))
      if (this.#isOnP256(pkey)) return this.#p256PublicKey(pkey)
    }
    const bio = checkedPointer(openssl.BIO_new(openssl.BIO_s_mem()))
    try {
      check(openssl.i2d_PUBKEY_bio(bio, pkey))
      const length = openssl.BIO_read(bio, scratch, scratch.length)
      if (length <= 0) throw failure()
      return scratch.slice(0, length)
    } finally {
      openssl.BIO_free(bio)
    }
  }

  #isOnP256(pkey: Pointer): boolean {
    const isNamed = native().EVP_PKEY_get_group_name(pkey, scratch, SCRATCH_BYTES, usedLength) === 1
    return (
      isNamed && Buffer.from(scratch.buffer, 0, Number(usedLength[0])).toString('latin1') === 'prime256v1'
    )
  }

  /** The usual curve without OpenSSL's encoder, which takes 40 µs a key to find out how to write these 26 bytes. */
  #p256PublicKey(pkey: Pointer): Uint8Array {
    check(native().EVP_PKEY_get_octet_string_param(pkey, 'pub', scratch, SCRATCH_BYTES, usedLength))
    const spki = new Uint8Array(P256_SPKI_START.length + Number(usedLength[0]))
    spki.set(P256_SPKI_START)
    spki.set(scratch.subarray(0, Number(usedLength[0])), P256_SPKI_START.length)
    return spki
  }

  /**
   * Whether the two halves belong together. On a curve OpenSSL makes the public half again, which takes a seventh of a
   * signature and its verification; of RSA it would look for primes, which takes fifty.
   *
   * @throws {KeysError} ERR_KEYS_CRYPTO if an RSA key cannot sign.
   */
  isPair(): boolean {
    const openssl = native()
    const pkey = this.#pkey()
    const isPair =
      openssl.EVP_PKEY_is_a(pkey, 'RSA') === 1
        ? isRsaPair(pkey)
        : withContext(pkey, (context) => openssl.EVP_PKEY_pairwise_check(context) === 1)
    openssl.ERR_clear_error() // of a pair that is none
    return isPair
  }

  /**
   * Makes `scheme` ready. Worth keeping: a fresh context costs 1–2 µs a signature.
   *
   * @throws {KeysError} ERR_KEYS_CRYPTO if OpenSSL does not offer the hash (a FIPS build, say).
   */
  prepare(scheme: DigestScheme): DigestSigner {
    const { EVP_PKEY_sign_init, EVP_PKEY_sign, EVP_get_digestbyname, ...set } = native()
    const makeReady = (fresh: Pointer): void => {
      check(EVP_PKEY_sign_init(fresh))
      if (scheme.padding === 'ecdsa') return
      const md = checkedPointer(EVP_get_digestbyname(scheme.hash))
      check(set.EVP_PKEY_CTX_set_rsa_padding(fresh, RSA_PADDING[scheme.padding]))
      check(set.EVP_PKEY_CTX_set_signature_md(fresh, md))
      if (scheme.padding === 'pss') {
        check(set.EVP_PKEY_CTX_set_rsa_pss_saltlen(fresh, RSA_PSS_SALTLEN_DIGEST))
        check(set.EVP_PKEY_CTX_set_rsa_mgf1_md(fresh, md))
      }
    }
    const context = this.#context(makeReady)
    const idle: Pointer[] = []
    return {
      sign: (digest) => {
        this.#pkey()
        usedLength[0] = SCRATCH_LENGTH
        check(EVP_PKEY_sign(context, scratch, usedLength, digest, digest.length))
        return takeScratch()
      },
      signInBackground: async (digest) => {
        this.#pkey()
        const own = idle.pop() ?? this.#context(makeReady)
        const input = pinned(digest)
        const signature = pinned(SCRATCH_BYTES)
        const length = slotOf(signature.length)
        await this.#onPool((done) => EVP_PKEY_sign.async(own, signature, length, input, input.length, done))
        idle.push(own)
        return signature.slice(0, Number(length[0]))
      },
    }
  }

  /**
   * Signs a message with a scheme that hashes for itself (Ed25519, RFC 8032 §5.1.6).
   *
   * @throws {KeysError} ERR_KEYS_CRYPTO, ERR_KEYS_DISPOSED
   */
  signMessage(message: Uint8Array): Uint8Array {
    const openssl = native()
    const pkey = this.#pkey()
    const context = checkedPointer(openssl.EVP_MD_CTX_new())
    try {
      check(openssl.EVP_DigestSignInit(context, null, null, null, pkey))
      usedLength[0] = SCRATCH_LENGTH
      check(openssl.EVP_DigestSign(context, scratch, usedLength, message, message.length))
      return takeScratch()
    } finally {
      openssl.EVP_MD_CTX_free(context)
    }
  }

  /**
   * Raw RSA, c^d mod n, blinded and without a look at the plaintext: RSA_NO_PADDING never inspects it and always
   * gives as many bytes as the modulus has.
   *
   * @param ciphertext as long as the modulus, and less than it.
   * @returns memory of its own: wiping it is the caller's part.
   * @throws {KeysError} ERR_KEYS_CRYPTO, ERR_KEYS_DISPOSED
   */
  decryptRaw(ciphertext: Uint8Array): Uint8Array {
    const openssl = native()
    this.#pkey()
    this.#decrypting ??= this.#context(makeReadyToDecrypt)
    // Written straight into the caller's array: the plaintext must not stay behind in the scratch buffer.
    const plaintext = new Uint8Array(new ArrayBuffer(ciphertext.length))
    usedLength[0] = BigInt(plaintext.length)
    try {
      check(openssl.EVP_PKEY_decrypt(this.#decrypting, plaintext, usedLength, ciphertext, ciphertext.length))
      if (Number(usedLength[0]) !== plaintext.length) throw failure()
      return plaintext
    } catch (error) {
      plaintext.fill(0) // whatever OpenSSL wrote before it failed
      throw error
    }
  }

  /**
   * The same on a thread of libuv's pool.
   *
   * @throws {KeysError} ERR_KEYS_CRYPTO, ERR_KEYS_DISPOSED, as a rejection.
   */
  async decryptRawInBackground(ciphertext: Uint8Array): Promise<Uint8Array> {
    const { EVP_PKEY_decrypt } = native()
    this.#pkey()
    const own = this.#idleDecrypting.pop() ?? this.#context(makeReadyToDecrypt)
    const input = pinned(ciphertext)
    const plaintext = pinned(input.length)
    const length = slotOf(plaintext.length)
    try {
      await this.#onPool((done) => EVP_PKEY_decrypt.async(own, plaintext, length, input, input.length, done))
      if (Number(length[0]) !== plaintext.length) throw new KeysError('ERR_KEYS_CRYPTO')
      return plaintext
    } catch (error) {
      plaintext.fill(0)
      throw error
    } finally {
      this.#idleDecrypting.push(own)
    }
  }

  get isDisposed(): boolean {
    return this.#owned.pkey === null
  }

  /** Frees the key; OpenSSL wipes the secret numbers. Twice is harmless. */
  [Symbol.dispose](): void {
    forgotten.unregister(this)
    release(this.#owned)
    this.#decrypting = null
    this.#idleDecrypting.length = 0
  }

  /** Every use comes through here: a freed address must never reach C. */
  #pkey(): Pointer {
    if (this.#owned.pkey === null || this.#owned.isForgotten) throw new KeysError('ERR_KEYS_DISPOSED')
    return this.#owned.pkey
  }

  /** Runs one call on the pool, during which nothing it uses is freed. OpenSSL's reasons stay on that thread: no detail. */
  async #onPool(start: (done: (error: Error | null, result: number) => void) => void): Promise<void> {
    const owned = this.#owned
    owned.underWay++
    try {
      const result = await new Promise<number>((resolve, reject) => {
        start((error, value) => (error === null ? resolve(value) : reject(error)))
      })
      if (result !== 1) throw new KeysError('ERR_KEYS_CRYPTO')
    } finally {
      owned.underWay--
      if (owned.isForgotten) release(owned)
    }
  }

  /** A context on which all of `makeReady` went well: a half-made one is freed, so that nobody can use it. */
  #context(makeReady: (fresh: Pointer) => void): Pointer {
    const { EVP_PKEY_CTX_new, EVP_PKEY_CTX_free } = native()
    const fresh = checkedPointer(EVP_PKEY_CTX_new(this.#pkey(), null))
    try {
      makeReady(fresh)
    } catch (error) {
      EVP_PKEY_CTX_free(fresh)
      throw error
    }
    this.#owned.contexts.push(fresh)
    return fresh
  }
}

/** One signature, verified. */
function isRsaPair(pkey: Pointer): boolean {
  const openssl = native()
  withContext(pkey, (context) => {
    check(openssl.EVP_PKEY_sign_init(context))
    check(openssl.EVP_PKEY_CTX_set_rsa_padding(context, RSA_PADDING.pkcs1))
    usedLength[0] = SCRATCH_LENGTH
    check(openssl.EVP_PKEY_sign(context, scratch, usedLength, PROBE, PROBE.length))
  })
  return withContext(pkey, (context) => {
    check(openssl.EVP_PKEY_verify_init(context))
    check(openssl.EVP_PKEY_CTX_set_rsa_padding(context, RSA_PADDING.pkcs1))
    return openssl.EVP_PKEY_verify(context, scratch, Number(usedLength[0]), PROBE, PROBE.length) === 1
  })
}

/** A context for one call. */
function withContext<T>(pkey: Pointer, use: (context: Pointer) => T): T {
  const { EVP_PKEY_CTX_new, EVP_PKEY_CTX_free } = native()
  const context = checkedPointer(EVP_PKEY_CTX_new(pkey, null))
  try {
    return use(context)
  } finally {
    EVP_PKEY_CTX_free(context)
  }
}

/** RFC 8017 §5.1.2 and nothing around it. */
function makeReadyToDecrypt(fresh: Pointer): void {
  const { EVP_PKEY_decrypt_init, EVP_PKEY_CTX_set_rsa_padding } = native()
  check(EVP_PKEY_decrypt_init(fresh))
  check(EVP_PKEY_CTX_set_rsa_padding(fresh, RSA_PADDING.none))
}

/** Memory for a thread of the pool: outside V8's heap, where nothing moves it meanwhile. */
function pinned(content: number | Uint8Array): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(typeof content === 'number' ? content : content.length))
  if (typeof content !== 'number') bytes.set(content)
  return bytes
}

/** A size_t for C to read and write. */
function slotOf(value: number): BigUint64Array {
  const slot = new BigUint64Array(new ArrayBuffer(8))
  slot[0] = BigInt(value)
  return slot
}

/** A copy of what the last call wrote. */
function takeScratch(): Uint8Array {
  return scratch.slice(0, Number(usedLength[0]))
}

/** OpenSSL says 1 for success; 0, -1 and -2 are all failures. */
function check(result: number): void {
  if (result !== 1) throw failure()
}

function checkedPointer(pointer: Pointer): Pointer {
  if (pointer === null) throw failure()
  return pointer
}

/** Empties OpenSSL's queue, so that nobody's later call finds our errors there. */
function failure(): KeysError {
  const openssl = native()
  const text = new Uint8Array(new ArrayBuffer(ERROR_TEXT_BYTES))
  const reasons: string[] = []
  for (let queued = 0; queued < MAX_QUEUED_ERRORS; queued++) {
    const error = openssl.ERR_get_error()
    if (Number(error) === 0) break
    openssl.ERR_error_string_n(error, text, text.length)
    reasons.push(Buffer.from(text.subarray(0, text.indexOf(0))).toString('latin1'))
  }
  openssl.ERR_clear_error()
  return new KeysError('ERR_KEYS_CRYPTO', { detail: reasons.join(', ') || undefined })
}

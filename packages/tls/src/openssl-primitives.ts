// The same primitives through `node:ffi`, from the OpenSSL that Node is built on and exports: opt-in, for Node 26.
//
// node:crypto makes objects of the JavaScript heap for every hash, cipher and key; a call through the FFI makes none. All
// that goes in and comes out stands in one page of memory whose address does not change, and is wiped after each call.
// What OpenSSL calls internal (no header has it) may go or change with any Node: the self-test finds out, and then
// nothing is installed. Decision 0008.
import { getBuiltinModule } from 'node:process'
import {
  type AeadName,
  type AeadParameters,
  type EphemeralKey,
  nodePrimitives,
  type Primitives,
  TAG_BYTES,
  usePrimitives,
} from './crypto-provider.ts'

/**
 * From now on this process hashes, seals and exchanges X25519 keys through the FFI. Call it once, before the first server.
 * Node warns that `node:ffi` is experimental.
 *
 * @returns whether it could: false, and nothing changes, where this Node has no `node:ffi` or its OpenSSL differs.
 */
export function useOpenSslPrimitives(): boolean {
  const primitives = openSslPrimitives()
  if (primitives !== undefined) usePrimitives(primitives)
  return primitives !== undefined
}

/** Undefined if they cannot be had here, or do not agree with node:crypto. */
export function openSslPrimitives(): Primitives | undefined {
  try {
    const primitives = bindPrimitives(getBuiltinModule('node:ffi') as Ffi | undefined)
    return primitives !== undefined && agree(primitives, nodePrimitives) ? primitives : undefined
  } catch {
    return undefined
  }
}

type Pointer = bigint

/** What we use of node:ffi; node's typings do not have it yet. */
interface Ffi {
  dlopen(
    path: null,
    signatures: Readonly<Record<string, { arguments: readonly string[]; return: string }>>,
  ): { functions: unknown }
  getRawPointer(memory: Uint8Array): Pointer
}

interface OpenSsl {
  /** SHA-256's compression function over whole blocks, FIPS 180-4 §6.2.2. Internal. */
  sha256_block_data_order(state: Pointer, blocks: Pointer, count: bigint): void
  /** RFC 7748 §5: 0 if the result is all zeros. Internal. */
  ossl_x25519(result: Pointer, privateKey: Pointer, publicKey: Pointer): number
  RAND_priv_bytes(bytes: Pointer, count: number): number
  EVP_CIPHER_fetch(library: Pointer, name: Pointer, properties: Pointer): Pointer
  EVP_CIPHER_CTX_new(): Pointer
  EVP_CipherInit_ex(
    context: Pointer,
    cipher: Pointer,
    engine: Pointer,
    key: Pointer,
    nonce: Pointer,
    encrypts: number,
  ): number
  EVP_CipherUpdate(context: Pointer, out: Pointer, outBytes: Pointer, input: Pointer, count: number): number
  EVP_CipherFinal_ex(context: Pointer, out: Pointer, outBytes: Pointer): number
  EVP_CIPHER_CTX_ctrl(context: Pointer, type: number, count: number, data: Pointer): number
}

const POINTER = 'pointer'
const INT = 'int32'
const SIGNATURES = {
  sha256_block_data_order: { arguments: [POINTER, POINTER, 'uint64'], return: 'void' },
  ossl_x25519: { arguments: [POINTER, POINTER, POINTER], return: INT },
  RAND_priv_bytes: { arguments: [POINTER, INT], return: INT },
  EVP_CIPHER_fetch: { arguments: [POINTER, POINTER, POINTER], return: POINTER },
  EVP_CIPHER_CTX_new: { arguments: [], return: POINTER },
  EVP_CipherInit_ex: { arguments: [POINTER, POINTER, POINTER, POINTER, POINTER, INT], return: INT },
  EVP_CipherUpdate: { arguments: [POINTER, POINTER, POINTER, POINTER, INT], return: INT },
  EVP_CipherFinal_ex: { arguments: [POINTER, POINTER, POINTER], return: INT },
  EVP_CIPHER_CTX_ctrl: { arguments: [POINTER, INT, INT, POINTER], return: INT },
} as const satisfies Record<keyof OpenSsl, { arguments: readonly string[]; return: string }>

const NULL: Pointer = 0n
const KEY_BYTES = 32
const GET_TAG = 0x10 // EVP_CTRL_AEAD_GET_TAG
const SET_TAG = 0x11

// The page: keys and small values first, then a record with its head, and a margin.
const KEY_AT = 0
const PEER_AT = 64
const RESULT_AT = 128
const STATE_AT = 192
const NONCE_AT = 256
const TAG_AT = 288
const COUNT_AT = 320
const DATA_AT = 512
/** TLS 1.2 and 1.3 have no longer record than 2^14 + 2048 bytes; what is longer goes to node:crypto. */
const MAX_DATA_BYTES = 20_480
/** One HMAC of the key schedule, and more: longer data is rare and costs node:crypto no more than us. */
const MAX_HASHED_BYTES = 1024

const BLOCK_BYTES = 64
const PADDING_BYTES = 9 // a one bit, and the length in eight bytes: FIPS 180-4 §5.1.1
/** FIPS 180-4 §5.3.3. */
const INITIAL_STATE = Uint32Array.of(
  0x6a09e667,
  0xbb67ae85,
  0x3c6ef372,
  0xa54ff53a,
  0x510e527f,
  0x9b05688c,
  0x1f83d9ab,
  0x5be0cd19,
)
/** RFC 7748 §4.1: u = 9. */
const BASE_POINT = 9

const CIPHER_NAMES = {
  'aes-128-gcm': 'AES-128-GCM',
  'aes-256-gcm': 'AES-256-GCM',
  'chacha20-poly1305': 'ChaCha20-Poly1305',
} as const satisfies Record<AeadName, string>

function bindPrimitives(ffi: Ffi | undefined): Primitives | undefined {
  if (ffi === undefined) return undefined
  const openSsl = ffi.dlopen(null, SIGNATURES).functions as OpenSsl
  const memory = new Uint8Array(DATA_AT + MAX_DATA_BYTES)
  const base = ffi.getRawPointer(memory)
  const pointer = (at: number): Pointer => base + BigInt(at)
  const key = pointer(KEY_AT)
  const peer = pointer(PEER_AT)
  const result = pointer(RESULT_AT)
  const statePointer = pointer(STATE_AT)
  const nonce = pointer(NONCE_AT)
  const tag = pointer(TAG_AT)
  const count = pointer(COUNT_AT)
  const data = pointer(DATA_AT)
  const state = new Uint32Array(memory.buffer, STATE_AT, INITIAL_STATE.length)

  // ── SHA-256 ───────────────────────────────────────────────────────────────────────────────────────────────────

  function sha256Into(target: Uint8Array, offset: number, bytes: Uint8Array): void {
    const blocks = (bytes.length + PADDING_BYTES + BLOCK_BYTES - 1) >>> 6
    const end = DATA_AT + blocks * BLOCK_BYTES
    memory.set(bytes, DATA_AT)
    memory.fill(0, DATA_AT + bytes.length, end)
    memory[DATA_AT + bytes.length] = 0x80
    memory[end - 2] = bytes.length >>> 5 // the length in bits
    memory[end - 1] = bytes.length << 3
    state.set(INITIAL_STATE)
    openSsl.sha256_block_data_order(statePointer, data, BigInt(blocks))
    let at = offset
    for (let index = 0; index < INITIAL_STATE.length; index++) {
      const word = state[index] as number
      target[at++] = word >>> 24
      target[at++] = word >>> 16
      target[at++] = word >>> 8
      target[at++] = word
    }
    state.fill(0)
    memory.fill(0, DATA_AT, end)
  }

  // ── X25519 ────────────────────────────────────────────────────────────────────────────────────────────────────

  function generateX25519(): EphemeralKey {
    if (openSsl.RAND_priv_bytes(key, KEY_BYTES) !== 1) throw new Error('no randomness')
    const privateKey = memory.slice(KEY_AT, KEY_AT + KEY_BYTES)
    const basePoint = new Uint8Array(KEY_BYTES)
    basePoint[0] = BASE_POINT
    return {
      share: x25519(privateKey, basePoint),
      sharedSecret(clientShare) {
        const secret = x25519(privateKey, clientShare)
        privateKey.fill(0)
        return secret
      },
    }
  }

  /** @throws if the result is all zeros: RFC 7748 §6.1. */
  function x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
    if (publicKey.length !== KEY_BYTES) throw new RangeError(`X25519 key of ${publicKey.length} bytes`)
    memory.set(privateKey, KEY_AT)
    memory.set(publicKey, PEER_AT)
    const isNonZero = openSsl.ossl_x25519(result, key, peer) === 1
    const product = memory.slice(RESULT_AT, RESULT_AT + KEY_BYTES)
    memory.fill(0, KEY_AT, STATE_AT)
    if (!isNonZero) throw new Error('X25519 result is all zeros')
    return product
  }

  // ── AEADs ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One context a cipher and direction, for the life of the process: each message sets its key and nonce. */
  function newContext(name: AeadName, encrypts: number): Pointer {
    memory.set(new TextEncoder().encode(`${CIPHER_NAMES[name]}\0`), DATA_AT)
    const cipher = openSsl.EVP_CIPHER_fetch(NULL, data, NULL)
    const context = openSsl.EVP_CIPHER_CTX_new()
    if (cipher === NULL || context === NULL) throw new Error(`no ${name}`)
    must(openSsl.EVP_CipherInit_ex(context, cipher, NULL, NULL, NULL, encrypts))
    return context
  }
  const contextsFor = (encrypts: number): Readonly<Record<AeadName, Pointer>> => ({
    'aes-128-gcm': newContext('aes-128-gcm', encrypts),
    'aes-256-gcm': newContext('aes-256-gcm', encrypts),
    'chacha20-poly1305': newContext('chacha20-poly1305', encrypts),
  })
  const sealing = contextsFor(1)
  const opening = contextsFor(0)

  /** Key, nonce and additional data. */
  function begin(context: Pointer, keyBytes: Uint8Array, parameters: AeadParameters, encrypts: number): void {
    memory.set(keyBytes, KEY_AT)
    memory.set(parameters.nonce, NONCE_AT)
    memory.set(parameters.additionalData, PEER_AT)
    must(openSsl.EVP_CipherInit_ex(context, NULL, NULL, key, nonce, encrypts))
    memory.fill(0, KEY_AT, KEY_AT + KEY_BYTES)
    must(openSsl.EVP_CipherUpdate(context, NULL, count, peer, parameters.additionalData.length))
  }

  return {
    digest(name, bytes) {
      if (name !== 'sha256' || bytes.length > MAX_HASHED_BYTES) return nodePrimitives.digest(name, bytes)
      const digest = new Uint8Array(INITIAL_STATE.byteLength)
      sha256Into(digest, 0, bytes)
      return digest
    },

    digestInto(target, offset, name, bytes) {
      if (name !== 'sha256' || bytes.length > MAX_HASHED_BYTES)
        nodePrimitives.digestInto(target, offset, name, bytes)
      else sha256Into(target, offset, bytes)
    },

    generateX25519,

    seal(out, name, parameters, head, plaintext) {
      const { key: keyBytes } = parameters
      const end = head.length + plaintext.length
      if (!(keyBytes instanceof Uint8Array) || end > MAX_DATA_BYTES) {
        nodePrimitives.seal(out, name, parameters, head, plaintext)
        return
      }
      const context = sealing[name]
      begin(context, keyBytes, parameters, 1)
      memory.set(plaintext, DATA_AT)
      must(openSsl.EVP_CipherUpdate(context, data, count, data, plaintext.length))
      must(openSsl.EVP_CipherFinal_ex(context, tag, count))
      must(openSsl.EVP_CIPHER_CTX_ctrl(context, GET_TAG, TAG_BYTES, tag))
      const sealed = Buffer.allocUnsafeSlow(end + TAG_BYTES)
      sealed.set(head)
      sealed.set(memory.subarray(DATA_AT, DATA_AT + plaintext.length), head.length)
      sealed.set(memory.subarray(TAG_AT, TAG_AT + TAG_BYTES), end)
      out.push(sealed)
    },

    open(name, parameters, sealed) {
      const { key: keyBytes } = parameters
      const length = sealed.length - TAG_BYTES
      if (length < 0) return undefined
      if (!(keyBytes instanceof Uint8Array) || length > MAX_DATA_BYTES)
        return nodePrimitives.open(name, parameters, sealed)
      const context = opening[name]
      begin(context, keyBytes, parameters, 0)
      memory.set(sealed.subarray(0, length), DATA_AT)
      memory.set(sealed.subarray(length), TAG_AT)
      must(openSsl.EVP_CIPHER_CTX_ctrl(context, SET_TAG, TAG_BYTES, tag))
      must(openSsl.EVP_CipherUpdate(context, data, count, data, length))
      const isAuthentic = openSsl.EVP_CipherFinal_ex(context, result, count) === 1
      const plaintext = isAuthentic ? new Uint8Array(memory.subarray(DATA_AT, DATA_AT + length)) : undefined
      memory.fill(0, DATA_AT, DATA_AT + length)
      return plaintext
    },
  }
}

/** OpenSSL answers 1 where nothing can go wrong but memory. */
function must(answer: number): void {
  if (answer !== 1) throw new Error('OpenSSL refused')
}

/** The self-test: the same results as node:crypto, for what a handshake asks. */
function agree(ours: Primitives, theirs: Primitives): boolean {
  return digestsAgree(ours, theirs) && exchangesAgree(ours, theirs) && aeadsAgree(ours, theirs)
}

/** Lengths around each block boundary. */
function digestsAgree(ours: Primitives, theirs: Primitives): boolean {
  return [0, 1, 55, 56, 63, 64, 65, 119, 120, 130, 1024].every((length) => {
    const bytes = new Uint8Array(length).fill(length)
    return equal(ours.digest('sha256', bytes), theirs.digest('sha256', bytes))
  })
}

function exchangesAgree(ours: Primitives, theirs: Primitives): boolean {
  const a = ours.generateX25519()
  const b = theirs.generateX25519()
  return equal(a.sharedSecret(b.share), b.sharedSecret(a.share)) && refusesZero(ours.generateX25519())
}

function refusesZero(key: EphemeralKey): boolean {
  try {
    key.sharedSecret(new Uint8Array(KEY_BYTES))
    return false
  } catch {
    return true
  }
}

const KEY_LENGTHS = { 'aes-128-gcm': 16, 'aes-256-gcm': 32, 'chacha20-poly1305': 32 } as const

function aeadsAgree(ours: Primitives, theirs: Primitives): boolean {
  return (Object.keys(KEY_LENGTHS) as AeadName[]).every((name) =>
    [0, 1, 37, 16_385].every((length) => {
      const parameters = {
        key: new Uint8Array(KEY_LENGTHS[name]).fill(length + 1),
        nonce: new Uint8Array(12).fill(length),
        additionalData: new Uint8Array(5).fill(7),
      }
      const plaintext = new Uint8Array(length).fill(length)
      const sealed = sealWhole(ours, name, parameters, plaintext)
      if (!equal(sealed, sealWhole(theirs, name, parameters, plaintext))) return false
      const opened = ours.open(name, parameters, sealed)
      sealed[length] = (sealed[length] as number) ^ 1
      return (
        opened !== undefined && equal(opened, plaintext) && ours.open(name, parameters, sealed) === undefined
      )
    }),
  )
}

function sealWhole(
  primitives: Primitives,
  name: AeadName,
  parameters: AeadParameters,
  plaintext: Uint8Array,
): Uint8Array {
  const out: Uint8Array[] = []
  primitives.seal(out, name, parameters, new Uint8Array(0), plaintext)
  return Buffer.concat(out)
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

// What we call of the OpenSSL that Node is built on and exports, and the one page of memory that all of it works in.
import type { Ffi } from './ffi.ts'

export type Pointer = bigint
type Answer = number

interface OpenSsl {
  // Over contexts that are plain memory and may be copied. Deprecated.
  readonly SHA256_Init: (context: Pointer) => Answer
  readonly SHA256_Update: (context: Pointer, data: Pointer, count: bigint) => Answer
  readonly SHA256_Final: (digest: Pointer, context: Pointer) => Answer
  readonly SHA384_Init: (context: Pointer) => Answer
  readonly SHA384_Update: (context: Pointer, data: Pointer, count: bigint) => Answer
  readonly SHA384_Final: (digest: Pointer, context: Pointer) => Answer
  /** RFC 7748 §5: 0 if the result is all zeros. Internal. */
  readonly ossl_x25519: (result: Pointer, privateKey: Pointer, publicKey: Pointer) => Answer
  readonly RAND_priv_bytes: (bytes: Pointer, count: bigint) => Answer
  readonly EVP_CIPHER_fetch: (library: Pointer, name: Pointer, properties: Pointer) => Pointer
  readonly EVP_CIPHER_CTX_new: () => Pointer
  readonly EVP_CipherInit_ex: (
    context: Pointer,
    cipher: Pointer,
    engine: Pointer,
    key: Pointer,
    nonce: Pointer,
    encrypts: bigint,
  ) => Answer
  readonly EVP_CipherUpdate: (
    context: Pointer,
    out: Pointer,
    outBytes: Pointer,
    input: Pointer,
    count: bigint,
  ) => Answer
  readonly EVP_CipherFinal_ex: (context: Pointer, out: Pointer, outBytes: Pointer) => Answer
  readonly EVP_CIPHER_CTX_ctrl: (context: Pointer, type: bigint, count: bigint, data: Pointer) => Answer
  readonly EVP_PKEY_new_raw_public_key_ex: (
    library: Pointer,
    name: Pointer,
    properties: Pointer,
    key: Pointer,
    count: bigint,
  ) => Pointer
  readonly EVP_PKEY_free: (key: Pointer) => void
  readonly EVP_PKEY_CTX_new_from_pkey: (library: Pointer, key: Pointer, properties: Pointer) => Pointer
  readonly EVP_PKEY_CTX_free: (context: Pointer) => void
  readonly EVP_PKEY_encapsulate_init: (context: Pointer, parameters: Pointer) => Answer
  readonly EVP_PKEY_encapsulate: (
    context: Pointer,
    ciphertext: Pointer,
    ciphertextBytes: Pointer,
    sharedKey: Pointer,
    sharedKeyBytes: Pointer,
  ) => Answer
  /** What OpenSSL wrote down when it refused must not be there when others look for what was wrong with theirs. */
  readonly ERR_clear_error: () => void
}

// Every argument is declared a pointer, the counts too: they travel in registers of the same kind, and only a call whose
// arguments need no check is compiled into its caller. With an `int32` among them the same call takes ten times as long.
const POINTER = 'pointer'
const signature = (count: number, result: 'pointer' | 'int32' | 'void' = 'int32') => ({
  arguments: Array.from({ length: count }, () => POINTER),
  return: result,
})
const SIGNATURES = {
  SHA256_Init: signature(1),
  SHA256_Update: signature(3),
  SHA256_Final: signature(2),
  SHA384_Init: signature(1),
  SHA384_Update: signature(3),
  SHA384_Final: signature(2),
  ossl_x25519: signature(3),
  RAND_priv_bytes: signature(2),
  EVP_CIPHER_fetch: signature(3, POINTER),
  EVP_CIPHER_CTX_new: signature(0, POINTER),
  EVP_CipherInit_ex: signature(6),
  EVP_CipherUpdate: signature(5),
  EVP_CipherFinal_ex: signature(3),
  EVP_CIPHER_CTX_ctrl: signature(4),
  EVP_PKEY_new_raw_public_key_ex: signature(5, POINTER),
  EVP_PKEY_free: signature(1, 'void'),
  EVP_PKEY_CTX_new_from_pkey: signature(3, POINTER),
  EVP_PKEY_CTX_free: signature(1, 'void'),
  EVP_PKEY_encapsulate_init: signature(2),
  EVP_PKEY_encapsulate: signature(5),
  ERR_clear_error: signature(0, 'void'),
} as const satisfies Record<keyof OpenSsl, object>

export const NULL: Pointer = 0n

/** OpenSSL answers 1 where nothing can go wrong but memory. */
export function must(answer: Answer): void {
  if (answer !== 1) throw new Error('OpenSSL refused')
}

export const MAX_BLOCK_BYTES = 128
const MAX_DIGEST_BYTES = 64
/** Of an HMAC in one piece: a label of at most 18 characters, a hash of 48 bytes and four of lengths fit. */
export const MAX_INPUT_BYTES = 256
const MAX_CONTEXT_BYTES = 256
export const MAX_ADDITIONAL_DATA_BYTES = 64
const NONCE_BYTES = 16
const COUNT_BYTES = 16

/**
 * Where what stands in the page. First what an HMAC writes, to be wiped at once: the key and zeros; key ⊕ ipad ‖ input; key
 * ⊕ opad ‖ inner hash; the result; the context of a hash.
 */
export const KEY_AT = 0
export const INPUT_AT = KEY_AT + MAX_BLOCK_BYTES + MAX_BLOCK_BYTES
export const INNER_HASH_AT = INPUT_AT + MAX_INPUT_BYTES + MAX_BLOCK_BYTES
export const RESULT_AT = INNER_HASH_AT + MAX_DIGEST_BYTES
export const CONTEXT_AT = RESULT_AT + MAX_DIGEST_BYTES
export const HMAC_END = CONTEXT_AT + MAX_CONTEXT_BYTES
/** The other's share of a key exchange, or additional data. */
export const PEER_AT = HMAC_END
export const NONCE_AT = PEER_AT + MAX_ADDITIONAL_DATA_BYTES
export const COUNT_AT = NONCE_AT + NONCE_BYTES
/** A record of any version, or a piece of what is hashed. */
export const DATA_AT = COUNT_AT + COUNT_BYTES
export const MAX_DATA_BYTES = 20_480

export interface Page {
  readonly openSsl: OpenSsl
  /** Its address does not change. */
  readonly memory: Uint8Array
  readonly pointer: (at: number) => Pointer
  /** Of memory outside the page: good until it is detached or collected, so for one call. */
  readonly pointerTo: (memory: Uint8Array) => Pointer
}

export function openPage(ffi: Ffi): Page {
  const memory = new Uint8Array(DATA_AT + MAX_DATA_BYTES)
  const base = ffi.getRawPointer(memory)
  return {
    openSsl: ffi.dlopen(null, SIGNATURES).functions as OpenSsl,
    memory,
    pointer: (at) => base + BigInt(at),
    pointerTo: (bytes) => ffi.getRawPointer(bytes),
  }
}

/** Moves bytes out of the page. */
export function take({ memory }: Page, at: number, length: number): Uint8Array {
  const bytes = memory.slice(at, at + length)
  memory.fill(0, at, at + length)
  return bytes
}

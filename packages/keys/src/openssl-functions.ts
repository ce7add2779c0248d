// The C functions we call, by name, with their types: read beside OpenSSL's manual pages.
import { createRequire } from 'node:module'
import { KeysError } from './errors.ts'

/** An address as koffi gives it; null is C's NULL. */
export type Pointer = bigint | null

/** Our words for C's types. Buffers are plain `void *`: koffi then passes their address and copies nothing. */
const C_TYPES = {
  pointer: 'void *',
  bytes: 'void *',
  slot: 'void *',
  int: 'int',
  size: 'size_t',
  text: 'str',
  errorCode: 'unsigned long',
  nothing: 'void',
} as const

interface TypeOf {
  pointer: Pointer
  bytes: Uint8Array
  /** One pointer or size_t for C to write to. On a 32-bit machine C writes the lower half: the array starts as zero. */
  slot: BigUint64Array
  int: number
  size: number
  text: string | null
  errorCode: number | bigint
  nothing: void
}
type Word = keyof TypeOf

/** name: [result, ...arguments] */
const FUNCTIONS = {
  BIO_new: ['pointer', 'pointer'],
  BIO_s_mem: ['pointer'],
  BIO_new_mem_buf: ['pointer', 'bytes', 'int'],
  BIO_read: ['int', 'pointer', 'bytes', 'int'],
  BIO_free: ['int', 'pointer'],
  ERR_get_error: ['errorCode'],
  ERR_clear_error: ['nothing'],
  ERR_error_string_n: ['nothing', 'errorCode', 'bytes', 'size'],
  OSSL_DECODER_CTX_new_for_pkey: ['pointer', 'slot', 'text', 'text', 'text', 'int', 'pointer', 'text'],
  OSSL_DECODER_CTX_set_passphrase: ['int', 'pointer', 'bytes', 'size'],
  OSSL_DECODER_from_bio: ['int', 'pointer', 'pointer'],
  OSSL_DECODER_CTX_free: ['nothing', 'pointer'],
  i2d_PUBKEY_bio: ['int', 'pointer', 'pointer'],
  EVP_get_digestbyname: ['pointer', 'text'],
  EVP_PKEY_free: ['nothing', 'pointer'],
  EVP_PKEY_is_a: ['int', 'pointer', 'text'],
  EVP_PKEY_get_group_name: ['int', 'pointer', 'bytes', 'size', 'slot'],
  EVP_PKEY_get_octet_string_param: ['int', 'pointer', 'text', 'bytes', 'size', 'slot'],
  EVP_PKEY_set_utf8_string_param: ['int', 'pointer', 'text', 'text'],
  EVP_PKEY_CTX_new: ['pointer', 'pointer', 'pointer'],
  EVP_PKEY_CTX_free: ['nothing', 'pointer'],
  EVP_PKEY_CTX_set_rsa_padding: ['int', 'pointer', 'int'],
  EVP_PKEY_CTX_set_rsa_pss_saltlen: ['int', 'pointer', 'int'],
  EVP_PKEY_CTX_set_rsa_mgf1_md: ['int', 'pointer', 'pointer'],
  EVP_PKEY_CTX_set_signature_md: ['int', 'pointer', 'pointer'],
  EVP_PKEY_sign_init: ['int', 'pointer'],
  EVP_PKEY_sign: ['int', 'pointer', 'bytes', 'slot', 'bytes', 'size'],
  EVP_PKEY_verify_init: ['int', 'pointer'],
  EVP_PKEY_verify: ['int', 'pointer', 'bytes', 'size', 'bytes', 'size'],
  EVP_PKEY_pairwise_check: ['int', 'pointer'],
  EVP_PKEY_decrypt_init: ['int', 'pointer'],
  EVP_PKEY_decrypt: ['int', 'pointer', 'bytes', 'slot', 'bytes', 'size'],
  EVP_MD_CTX_new: ['pointer'],
  EVP_MD_CTX_free: ['nothing', 'pointer'],
  EVP_DigestSignInit: ['int', 'pointer', 'pointer', 'pointer', 'pointer', 'pointer'],
  EVP_DigestSign: ['int', 'pointer', 'bytes', 'slot', 'bytes', 'size'],
} as const satisfies Record<string, readonly [Word, ...Word[]]>

type Arguments<Words extends readonly Word[]> = { [Index in keyof Words]: TypeOf[Words[Index]] }
type Signature<Words> = Words extends readonly [infer Result extends Word, ...infer Rest extends Word[]]
  ? Native<Arguments<Rest>, TypeOf[Result]>
  : never

interface Native<Values extends readonly unknown[], Result> {
  (...values: Values): Result
  /** The same call on a thread of libuv's pool. The buffers must be kept, and not be touched, until it calls back. */
  async(...values: [...Values, done: (error: Error | null, result: Result) => void]): void
}

/** Every function of the table, callable. */
export type OpenSsl = {
  readonly [Name in keyof typeof FUNCTIONS]: Signature<Mutable<(typeof FUNCTIONS)[Name]>>
}
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** What koffi gives for a library: only what is used here. */
export interface NativeLibrary {
  func(name: string, result: string, parameters: string[]): unknown
}

/**
 * Binds the functions of the OpenSSL inside the running program.
 *
 * @param open for tests; koffi's `load(null)`, which is the running program itself.
 * @throws {KeysError} ERR_KEYS_NATIVE if koffi is not installed or this Node does not export its OpenSSL.
 */
export function bindOpenSsl(open: () => NativeLibrary = openProgram): OpenSsl {
  try {
    const library = open()
    return Object.fromEntries(
      Object.entries(FUNCTIONS).map(([name, [result, ...parameters]]) => [
        name,
        library.func(
          name,
          C_TYPES[result],
          parameters.map((word) => C_TYPES[word]),
        ),
      ]),
    ) as unknown as OpenSsl
  } catch (cause) {
    throw new KeysError('ERR_KEYS_NATIVE', {
      detail: cause instanceof Error ? cause.message : undefined,
      hint: 'the package "koffi" must be installed, and Node must export its OpenSSL 3 as the official builds do',
      cause,
    })
  }
}

function openProgram(): NativeLibrary {
  const koffi = createRequire(import.meta.url)('koffi') as { load(path: null): NativeLibrary }
  return koffi.load(null)
}

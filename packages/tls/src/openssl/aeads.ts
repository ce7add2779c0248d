// AES-GCM and ChaCha20-Poly1305 in the page.
import { allocate } from '@latchkey/core'
import {
  type AeadName,
  type AeadParameters,
  MAX_SEALED_BYTES,
  nodePrimitives,
  type Primitives,
  TAG_BYTES,
} from '../crypto-provider.ts'
import {
  COUNT_AT,
  DATA_AT,
  KEY_AT,
  MAX_ADDITIONAL_DATA_BYTES,
  MAX_DATA_BYTES,
  must,
  NONCE_AT,
  NULL,
  type Page,
  PEER_AT,
  type Pointer,
  RESULT_AT,
} from './page.ts'

const ENCRYPT = 1n
const DECRYPT = 0n
const GET_TAG = 0x10n // EVP_CTRL_AEAD_GET_TAG
const SET_TAG = 0x11n
const TAG_LENGTH = BigInt(TAG_BYTES)
const NONCE_BYTES = 12
const MAX_COPIED_BYTES = 4096

/** One context a direction, for the life of the process: each message sets its key and nonce. */
interface Cipher {
  readonly keyBytes: number
  readonly sealing: Pointer
  readonly opening: Pointer
}

/** Names of OpenSSL's providers. */
const CIPHER_NAMES = {
  'aes-128-gcm': 'AES-128-GCM',
  'aes-256-gcm': 'AES-256-GCM',
  'chacha20-poly1305': 'ChaCha20-Poly1305',
} as const satisfies Record<AeadName, string>

export function bindAeads({
  openSsl,
  memory,
  pointer,
  pointerTo,
}: Page): Pick<Primitives, 'sealBuffer' | 'seal' | 'open'> {
  const {
    EVP_CIPHER_fetch,
    EVP_CIPHER_CTX_new,
    EVP_CipherInit_ex,
    EVP_CipherUpdate,
    EVP_CipherFinal_ex,
    EVP_CIPHER_CTX_ctrl,
  } = openSsl
  const key = pointer(KEY_AT)
  const peer = pointer(PEER_AT)
  const result = pointer(RESULT_AT)
  const nonce = pointer(NONCE_AT)
  const count = pointer(COUNT_AT)
  const data = pointer(DATA_AT)

  function newContext(name: AeadName, encrypts: bigint): Pointer {
    memory.set(new TextEncoder().encode(`${CIPHER_NAMES[name]}\0`), DATA_AT)
    const cipher = EVP_CIPHER_fetch(NULL, data, NULL)
    const context = EVP_CIPHER_CTX_new()
    if (cipher === NULL || context === NULL) throw new Error(`no ${name}`)
    must(EVP_CipherInit_ex(context, cipher, NULL, NULL, NULL, encrypts))
    return context
  }
  const newCipher = (name: AeadName, keyBytes: number): Cipher => ({
    keyBytes,
    sealing: newContext(name, ENCRYPT),
    opening: newContext(name, DECRYPT),
  })
  const ciphers: Readonly<Record<AeadName, Cipher>> = {
    'aes-128-gcm': newCipher('aes-128-gcm', 16),
    'aes-256-gcm': newCipher('aes-256-gcm', 32),
    'chacha20-poly1305': newCipher('chacha20-poly1305', 32),
  }

  /** Key, nonce and additional data. */
  function begin(cipher: Cipher, parameters: AeadParameters, encrypts: bigint): Pointer {
    const { key: keyBytes, nonce: nonceBytes, additionalData } = parameters
    // OpenSSL reads as many bytes as it needs, whatever was given.
    if (!(keyBytes instanceof Uint8Array)) throw new TypeError('keys are bytes where Node has node:ffi')
    if (
      keyBytes.length !== cipher.keyBytes ||
      nonceBytes.length !== NONCE_BYTES ||
      additionalData.length > MAX_ADDITIONAL_DATA_BYTES
    )
      throw new RangeError('key, nonce or additional data of a wrong length')
    const context = encrypts === ENCRYPT ? cipher.sealing : cipher.opening
    memory.set(keyBytes, KEY_AT)
    memory.set(nonceBytes, NONCE_AT)
    memory.set(additionalData, PEER_AT)
    must(EVP_CipherInit_ex(context, NULL, NULL, key, nonce, encrypts))
    memory.fill(0, KEY_AT, KEY_AT + keyBytes.length)
    must(EVP_CipherUpdate(context, NULL, count, peer, BigInt(additionalData.length)))
    return context
  }

  const sealBuffer = memory.subarray(DATA_AT, DATA_AT + MAX_SEALED_BYTES)

  return {
    sealBuffer,

    seal(target, at, name, parameters, plaintextBytes) {
      const sealedBytes = plaintextBytes + TAG_BYTES
      // Beyond either is memory of others.
      if (plaintextBytes > MAX_SEALED_BYTES || at < 0 || at + sealedBytes > target.length)
        throw new RangeError(`no room to seal ${plaintextBytes} bytes`)
      const length = BigInt(plaintextBytes)
      // Finding out where the target is costs as much as copying some kilobytes.
      const isLong = plaintextBytes > MAX_COPIED_BYTES
      const sealed = isLong ? pointerTo(target) + BigInt(at) : data
      const context = begin(ciphers[name], parameters, ENCRYPT)
      must(EVP_CipherUpdate(context, sealed, count, data, length))
      must(EVP_CipherFinal_ex(context, result, count))
      must(EVP_CIPHER_CTX_ctrl(context, GET_TAG, TAG_LENGTH, sealed + length))
      if (!isLong) target.set(memory.subarray(DATA_AT, DATA_AT + sealedBytes), at)
    },

    open(name, parameters, sealed) {
      const plaintextBytes = sealed.length - TAG_BYTES
      if (plaintextBytes < 0 || sealed.length > MAX_DATA_BYTES)
        return nodePrimitives.open(name, parameters, sealed)
      const length = BigInt(plaintextBytes)
      const context = begin(ciphers[name], parameters, DECRYPT)
      memory.set(sealed, DATA_AT)
      must(EVP_CIPHER_CTX_ctrl(context, SET_TAG, TAG_LENGTH, data + length))
      must(EVP_CipherUpdate(context, data, count, data, length))
      const isAuthentic = EVP_CipherFinal_ex(context, result, count) === 1
      let plaintext: Uint8Array | undefined
      if (isAuthentic) {
        plaintext = allocate(plaintextBytes)
        plaintext.set(memory.subarray(DATA_AT, DATA_AT + plaintextBytes))
      }
      memory.fill(0, DATA_AT, DATA_AT + plaintextBytes)
      return plaintext
    },
  }
}

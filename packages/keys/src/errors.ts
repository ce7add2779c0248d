// Every way a key can be refused, found wanting, or fail to sign.
import { CodedError, type ErrorDetail } from '@latchkey/core'

export const KEYS_ERRORS = {
  ERR_KEYS_ALGORITHM: 'this key cannot do that operation',
  ERR_KEYS_DIGEST_LENGTH: 'the digest does not have the length of its hash',
  ERR_KEYS_CRYPTO: 'the private-key operation failed',
  ERR_KEYS_DISPOSED: 'the key was freed',
  ERR_KEYS_NATIVE: 'the OpenSSL inside Node cannot be called',
  ERR_KEYS_PUBLIC_KEY: 'not a SubjectPublicKeyInfo',
  ERR_KEYS_UNREADABLE: 'the key file or directory cannot be read',
  ERR_KEYS_FORMAT: 'no private key found',
  ERR_KEYS_PASSPHRASE: 'the private key cannot be decrypted',
  ERR_KEYS_UNSUPPORTED: 'this kind of key cannot be used',
  ERR_KEYS_WEAK: 'the key is too short to be safe',
  ERR_KEYS_MISMATCH: 'the private and the public half do not belong together',
  ERR_KEYS_LIMIT: 'more than is reasonable',
  ERR_KEYS_URI: 'the name of the key cannot be understood',
  ERR_KEYS_DRIVER: 'the driver for this kind of key cannot be loaded',
  ERR_KEYS_NOT_FOUND: 'there is no such key where it should be',
  ERR_KEYS_DENIED: 'the home of the key refuses access',
  ERR_KEYS_DISABLED: 'the key may not be used at the moment',
  ERR_KEYS_UNAVAILABLE: 'the home of the key does not answer',
  ERR_KEYS_BUSY: 'more is asked of the key than it may do',
  ERR_KEYS_DEADLINE: 'the operation took too long',
  ERR_KEYS_REPLY: 'the home of the key answered with something else',
} as const satisfies Record<string, string>
export type KeysErrorCode = keyof typeof KEYS_ERRORS

/** May go away by itself: the same operation may work a moment later, or at another key server. */
const TRANSIENT: ReadonlySet<KeysErrorCode> = new Set([
  'ERR_KEYS_UNAVAILABLE',
  'ERR_KEYS_BUSY',
  'ERR_KEYS_DEADLINE',
  'ERR_KEYS_REPLY',
])

/** What an operator needs in order to act: which file, what is in it, what should be, what to do. */
export interface KeysErrorDetail extends ErrorDetail {
  readonly path?: string | undefined
  readonly found?: string | undefined
  readonly expected?: string | undefined
  readonly hint?: string | undefined
  /** When the home said that it would take the next request. */
  readonly retryAfterMs?: number | undefined
}

/** A key that cannot be loaded or used. Decide by `code`; the text is for an operator and holds no secret. */
export class KeysError extends CodedError<KeysErrorCode> {
  /** The file or directory at fault, where there is one. */
  readonly path: string | undefined
  readonly retryAfterMs: number | undefined

  constructor(code: KeysErrorCode, options: KeysErrorDetail = {}) {
    super(code, KEYS_ERRORS[code], { detail: sentence(options), cause: options.cause })
    this.path = options.path
    this.retryAfterMs = options.retryAfterMs
  }

  /** Whether the same operation may work a moment later, or at another key server. */
  get isTransient(): boolean {
    return TRANSIENT.has(this.code)
  }
}

function sentence({ path, found, expected, detail, hint }: KeysErrorDetail): string | undefined {
  const parts = [
    path,
    found === undefined ? undefined : `found ${found}`,
    expected === undefined ? undefined : `expected ${expected}`,
    detail,
    hint === undefined ? undefined : `hint: ${hint}`,
  ].filter((part) => part !== undefined)
  return parts.length === 0 ? undefined : parts.join('; ')
}

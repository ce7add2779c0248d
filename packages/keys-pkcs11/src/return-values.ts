// CK_RV: what each means for an operator, and what makes a token work again. PKCS #11 v2.40 §4.4, §5.1.
import type { KeysErrorCode } from '@latchkey/keys'

/**
 * `session`: this session is of no use, another may be. `login`: the token has forgotten us. `key`: the object's handle
 * is of no use any more. `token`: the token or its module must be opened anew. `pin`: nobody may try this PIN again.
 * `none`: trying again would come to the same.
 */
export type Remedy = 'session' | 'login' | 'key' | 'token' | 'pin' | 'none'

export interface ReturnValue {
  readonly name: string
  readonly remedy: Remedy
  readonly error: KeysErrorCode
  readonly hint?: string
}

const ROWS: readonly (readonly [code: number, name: string, Remedy, KeysErrorCode, hint?: string])[] = [
  [0x02, 'CKR_HOST_MEMORY', 'token', 'ERR_KEYS_UNAVAILABLE'],
  [0x03, 'CKR_SLOT_ID_INVALID', 'token', 'ERR_KEYS_UNAVAILABLE'],
  [0x05, 'CKR_GENERAL_ERROR', 'token', 'ERR_KEYS_UNAVAILABLE'],
  [0x06, 'CKR_FUNCTION_FAILED', 'token', 'ERR_KEYS_UNAVAILABLE'],
  [0x30, 'CKR_DEVICE_ERROR', 'token', 'ERR_KEYS_UNAVAILABLE'],
  [0x31, 'CKR_DEVICE_MEMORY', 'none', 'ERR_KEYS_LIMIT', 'the token is full: delete objects'],
  [0x32, 'CKR_DEVICE_REMOVED', 'token', 'ERR_KEYS_UNAVAILABLE'],
  [0x50, 'CKR_FUNCTION_CANCELED', 'session', 'ERR_KEYS_UNAVAILABLE'],
  [0x60, 'CKR_KEY_HANDLE_INVALID', 'key', 'ERR_KEYS_UNAVAILABLE'],
  [0x63, 'CKR_KEY_TYPE_INCONSISTENT', 'none', 'ERR_KEYS_ALGORITHM'],
  [0x68, 'CKR_KEY_FUNCTION_NOT_PERMITTED', 'none', 'ERR_KEYS_ALGORITHM', 'the key was made without CKA_SIGN'],
  [0x70, 'CKR_MECHANISM_INVALID', 'none', 'ERR_KEYS_ALGORITHM'],
  [0x71, 'CKR_MECHANISM_PARAM_INVALID', 'none', 'ERR_KEYS_ALGORITHM'],
  [0x82, 'CKR_OBJECT_HANDLE_INVALID', 'key', 'ERR_KEYS_UNAVAILABLE'],
  [0x90, 'CKR_OPERATION_ACTIVE', 'session', 'ERR_KEYS_UNAVAILABLE'],
  [0x91, 'CKR_OPERATION_NOT_INITIALIZED', 'session', 'ERR_KEYS_UNAVAILABLE'],
  [
    0xa0,
    'CKR_PIN_INCORRECT',
    'pin',
    'ERR_KEYS_DENIED',
    'mend the PIN: a wrong one is not tried twice, which would lock the token',
  ],
  [0xa1, 'CKR_PIN_INVALID', 'pin', 'ERR_KEYS_DENIED', 'the PIN has characters that this token does not take'],
  [0xa2, 'CKR_PIN_LEN_RANGE', 'pin', 'ERR_KEYS_DENIED', 'the PIN is too short or too long for this token'],
  [0xa3, 'CKR_PIN_EXPIRED', 'pin', 'ERR_KEYS_DENIED', 'set a new PIN with the tool of the vendor'],
  [
    0xa4,
    'CKR_PIN_LOCKED',
    'pin',
    'ERR_KEYS_DENIED',
    'too many wrong PINs: unlock the token as its security officer',
  ],
  [0xb0, 'CKR_SESSION_CLOSED', 'session', 'ERR_KEYS_UNAVAILABLE'],
  [
    0xb1,
    'CKR_SESSION_COUNT',
    'none',
    'ERR_KEYS_BUSY',
    'the token has no session left: lower max-sessions, or close other programs',
  ],
  [0xb3, 'CKR_SESSION_HANDLE_INVALID', 'session', 'ERR_KEYS_UNAVAILABLE'],
  [0xe0, 'CKR_TOKEN_NOT_PRESENT', 'token', 'ERR_KEYS_UNAVAILABLE'],
  [0xe1, 'CKR_TOKEN_NOT_RECOGNIZED', 'token', 'ERR_KEYS_UNAVAILABLE'],
  [0xe2, 'CKR_TOKEN_WRITE_PROTECTED', 'none', 'ERR_KEYS_DENIED'],
  [0x101, 'CKR_USER_NOT_LOGGED_IN', 'login', 'ERR_KEYS_UNAVAILABLE', 'name a PIN with pin-source'],
  [0x102, 'CKR_USER_PIN_NOT_INITIALIZED', 'pin', 'ERR_KEYS_DENIED', 'set a user PIN on the token first'],
  [0x104, 'CKR_USER_ANOTHER_ALREADY_LOGGED_IN', 'pin', 'ERR_KEYS_DENIED'],
  [0x105, 'CKR_USER_TOO_MANY_TYPES', 'pin', 'ERR_KEYS_DENIED'],
  [0x190, 'CKR_CRYPTOKI_NOT_INITIALIZED', 'token', 'ERR_KEYS_UNAVAILABLE'],
]

/** Not worth an error when they are met at a login or an initialisation. */
export const CKR = {
  userAlreadyLoggedIn: 0x100,
  cryptokiAlreadyInitialized: 0x191,
  sessionCount: 0xb1,
  attributeSensitive: 0x11,
  attributeTypeInvalid: 0x12,
} as const

const BY_CODE = new Map(
  ROWS.map(([code, name, remedy, error, hint]): [number, ReturnValue] => [
    code,
    { name, remedy, error, ...(hint === undefined ? {} : { hint }) },
  ]),
)

/** Vendors have codes of their own (CKR_VENDOR_DEFINED, 0x80000000 and up): a new session is worth a try. */
export function returnValue(code: number): ReturnValue {
  const row = BY_CODE.get(code)
  if (row !== undefined) return row
  const name = `CKR 0x${code.toString(16)}`
  return code >= 0x8000_0000
    ? { name, remedy: 'session', error: 'ERR_KEYS_UNAVAILABLE' }
    : { name, remedy: 'none', error: 'ERR_KEYS_CRYPTO' }
}

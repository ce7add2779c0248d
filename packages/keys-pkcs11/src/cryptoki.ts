// The binding to a module's C functions, loaded on use: installing it needs a compiler, which not every machine has.
import { createRequire } from 'node:module'
import { KeysError } from '@latchkey/keys'
import type * as pkcs11js from 'pkcs11js'
import { returnValue } from './return-values.ts'

/** A module that is loaded. Calls throw what {@link cryptokiError} reads. */
export type Cryptoki = pkcs11js.PKCS11
export type Handle = pkcs11js.Handle
export type Mechanism = pkcs11js.Mechanism
export type TokenInfo = pkcs11js.TokenInfo

/** Numbers of PKCS #11 v2.40 and, from 0x1055, v3.0; the binding has names for most of them and is not there always. */
export const CK = {
  CKF_OS_LOCKING_OK: 0x2,
  CKF_RW_SESSION: 0x2,
  CKF_SERIAL_SESSION: 0x4,
  CKF_LOGIN_REQUIRED: 0x4,
  CKF_USER_PIN_INITIALIZED: 0x8,
  CKF_PROTECTED_AUTHENTICATION_PATH: 0x100,
  CKF_TOKEN_INITIALIZED: 0x400,
  CKF_USER_PIN_COUNT_LOW: 0x1_0000,
  CKF_USER_PIN_FINAL_TRY: 0x2_0000,
  CKF_USER_PIN_LOCKED: 0x4_0000,
  CKF_DECRYPT: 0x200,
  CKF_SIGN: 0x800,
  CKS_RO_USER_FUNCTIONS: 1,
  CKS_RW_USER_FUNCTIONS: 3,
  CKU_USER: 1,
  CKU_CONTEXT_SPECIFIC: 2,
  CKO_CERTIFICATE: 1,
  CKO_PUBLIC_KEY: 2,
  CKO_PRIVATE_KEY: 3,
  CKK_RSA: 0,
  CKK_EC: 3,
  CKK_EC_EDWARDS: 0x40,
  CKA_CLASS: 0x00,
  CKA_TOKEN: 0x01,
  CKA_PRIVATE: 0x02,
  CKA_LABEL: 0x03,
  CKA_VALUE: 0x11,
  CKA_KEY_TYPE: 0x100,
  CKA_ID: 0x102,
  CKA_SENSITIVE: 0x103,
  CKA_SIGN: 0x108,
  CKA_VERIFY: 0x10a,
  CKA_DECRYPT: 0x105,
  CKA_MODULUS: 0x120,
  CKA_MODULUS_BITS: 0x121,
  CKA_PUBLIC_EXPONENT: 0x122,
  CKA_PUBLIC_KEY_INFO: 0x129,
  CKA_EXTRACTABLE: 0x162,
  CKA_EC_PARAMS: 0x180,
  CKA_EC_POINT: 0x181,
  CKA_ALWAYS_AUTHENTICATE: 0x202,
  CKM_RSA_PKCS_KEY_PAIR_GEN: 0x00,
  CKM_RSA_PKCS: 0x01,
  CKM_RSA_X_509: 0x03,
  CKM_RSA_PKCS_PSS: 0x0d,
  CKM_SHA256: 0x250,
  CKM_SHA384: 0x260,
  CKM_SHA512: 0x270,
  CKM_EC_KEY_PAIR_GEN: 0x1040,
  CKM_ECDSA: 0x1041,
  CKM_EC_EDWARDS_KEY_PAIR_GEN: 0x1055,
  CKM_EDDSA: 0x1057,
  CKG_MGF1_SHA256: 2,
  CKG_MGF1_SHA384: 3,
  CKG_MGF1_SHA512: 4,
  CK_PARAMS_RSA_PSS: 5,
} as const

/** @throws {KeysError} ERR_KEYS_DRIVER if the binding is not there or the file is no module. */
export function loadModule(path: string): Cryptoki {
  const cryptoki = new (loadBinding().PKCS11)()
  try {
    cryptoki.load(path)
  } catch (cause) {
    throw new KeysError('ERR_KEYS_DRIVER', {
      path,
      detail: cause instanceof Error ? cause.message.split('\n')[0] : 'it cannot be loaded',
      hint: 'is it a PKCS#11 module for this machine, and are the libraries it needs installed?',
      cause,
    })
  }
  return cryptoki
}

function loadBinding(): typeof pkcs11js {
  try {
    return createRequire(import.meta.url)('pkcs11js') as typeof pkcs11js
  } catch (cause) {
    throw new KeysError('ERR_KEYS_DRIVER', {
      path: 'pkcs11js',
      detail: 'the PKCS#11 binding is not built',
      hint: 'it is compiled when it is installed: get python3, make and g++, then "npm rebuild pkcs11js"',
      cause,
    })
  }
}

/** The CK_RV of what a call threw; undefined if it is no answer of the module. */
export function codeOf(cause: unknown): number | undefined {
  if (!(cause instanceof Error) || !('code' in cause) || typeof cause.code !== 'number') return undefined
  return cause.name === 'Pkcs11Error' ? cause.code : undefined
}

/** What a module should have answered, and we found out in another way. */
export class Fault extends Error {
  readonly code: number
  override readonly name = 'Pkcs11Error'

  private constructor(code: number, text: string) {
    super(text)
    this.code = code
  }

  static notLoggedIn(): Fault {
    return new Fault(0x101, 'CKR_USER_NOT_LOGGED_IN')
  }

  static tokenNotPresent(): Fault {
    return new Fault(0xe0, 'CKR_TOKEN_NOT_PRESENT')
  }
}

/** What a call threw, as an operator should read it. */
export function cryptokiError(cause: unknown, source: string): KeysError {
  if (cause instanceof KeysError) return cause
  const code = codeOf(cause)
  if (cause instanceof DOMException && cause.name === 'TimeoutError') {
    return new KeysError('ERR_KEYS_DEADLINE', { path: source, detail: 'no session came free in time', cause })
  }
  if (code === undefined) {
    const detail = cause instanceof Error ? cause.message : 'unknown failure'
    return new KeysError('ERR_KEYS_CRYPTO', { path: source, detail, cause })
  }
  const { error, hint, ...row } = returnValue(code)
  const name = (cause as Error).message.startsWith('CKR_') ? (cause as Error).message : row.name
  return new KeysError(error, { path: source, detail: name, hint, cause })
}

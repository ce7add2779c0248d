// What a module has: its tokens and, where a PIN is said, the private keys on them. Nothing secret is in it.
import type { KeyType, SignatureAlgorithm } from '@latchkey/keys'
import { CK, codeOf, type TokenInfo } from '../cryptoki.ts'
import { modulePath } from '../module-path.ts'
import { Pkcs11Module } from '../module.ts'
import { isInitialized, isNamed, label, serial, slotsWithTokens, trimmed } from '../slots.ts'
import { openKeyStore } from '../store.ts'
import { readModuleUri } from '../uri.ts'

export interface ListedToken {
  readonly slotId: number
  readonly label: string
  readonly serial: string
  readonly manufacturer: string
  readonly model: string
  readonly firmware: string
  /** Undefined: as many as it takes. */
  readonly maxSessions: number | undefined
  readonly pin: 'not needed' | 'ok' | 'a wrong one was tried' | 'one try left' | 'locked' | 'not set'
  /** Undefined: not looked at. */
  readonly keys: readonly ListedKey[] | undefined
}

export interface ListedKey {
  readonly source: string
  readonly ski: Uint8Array
  readonly keyType: KeyType
  /** Bits of RSA, or the curve. */
  readonly size: string
  readonly algorithms: ReadonlySet<SignatureAlgorithm>
}

export interface ListOptions {
  readonly env?: NodeJS.ProcessEnv | undefined
  /** Told of keys that cannot be used. */
  readonly logger?: Parameters<typeof openKeyStore>[1]['logger']
}

/**
 * All tokens that the URI fits, or of the module if it names none; keys where it has a PIN.
 *
 * @throws {KeysError}
 */
export async function listTokens(uri: string, { env, logger }: ListOptions = {}): Promise<ListedToken[]> {
  const read = readModuleUri(uri)
  using module = Pkcs11Module.open(modulePath(read))
  const fitting = slotsWithTokens(module)
    .filter(isInitialized)
    .filter((slot) => isNamed(slot, read))
  const hasPin = read.pinValue !== undefined || read.pinSource !== undefined
  const tokens: ListedToken[] = []
  for (const { slotId, info } of fitting) {
    const isOpened = hasPin || (info.flags & CK.CKF_LOGIN_REQUIRED) === 0
    tokens.push({
      slotId,
      label: label(info),
      serial: serial(info),
      manufacturer: trimmed(info.manufacturerID),
      model: trimmed(info.model),
      firmware: `${info.firmwareVersion.major}.${info.firmwareVersion.minor}`,
      maxSessions: sessions(info),
      pin: pinState(info.flags),
      keys: isOpened ? await listKeys(uri, slotId, { env, logger }) : undefined,
    })
  }
  return tokens
}

async function listKeys(uri: string, slotId: number, options: ListOptions): Promise<ListedKey[]> {
  const [, query = ''] = uri.split('?')
  try {
    await using store = await openKeyStore([{ uri: `pkcs11:slot-id=${slotId}?${query}` }], {
      ...options,
      isAttended: true,
    })
    return [...store.list()].map(({ source, ski, keyType, publicKey, algorithms }) => {
      const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {}
      return { source, ski, keyType, size: String(modulusLength ?? namedCurve ?? ''), algorithms }
    })
  } catch (cause) {
    if (codeOf(cause) === undefined && (cause as { code?: unknown }).code === 'ERR_KEYS_NOT_FOUND') return []
    throw cause
  }
}

/** PKCS #11 v2.40 §3.2: 0 is CK_EFFECTIVELY_INFINITE, all ones CK_UNAVAILABLE_INFORMATION. */
function sessions({ maxSessionCount }: TokenInfo): number | undefined {
  return maxSessionCount <= 0 || maxSessionCount >= 0xffff_ffff ? undefined : maxSessionCount
}

function pinState(flags: number): ListedToken['pin'] {
  const has = (flag: number): boolean => (flags & flag) !== 0
  if (!has(CK.CKF_LOGIN_REQUIRED)) return 'not needed'
  if (!has(CK.CKF_USER_PIN_INITIALIZED)) return 'not set'
  if (has(CK.CKF_USER_PIN_LOCKED)) return 'locked'
  if (has(CK.CKF_USER_PIN_FINAL_TRY)) return 'one try left'
  return has(CK.CKF_USER_PIN_COUNT_LOW) ? 'a wrong one was tried' : 'ok'
}

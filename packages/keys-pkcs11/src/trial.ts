// What a key on a token does in truth: signatures that are tried and verified when it is loaded.
import { KeysError, type PrivateKey, type SignatureAlgorithm } from '@latchkey/keys'
import { isPss, proveKey } from '@latchkey/keys/driver'
import type { TokenKey } from './token-key.ts'

/** Whether a signature verifies with the public half. @throws {KeysError} if there is none. */
export async function isProven(key: PrivateKey, signal: AbortSignal): Promise<boolean> {
  try {
    await proveKey(key, signal)
    return true
  } catch (cause) {
    if (cause instanceof KeysError && cause.code === 'ERR_KEYS_MISMATCH') return false
    throw cause
  }
}

/**
 * Tokens list mechanisms that not each of their keys does: whether TLS 1.3 can be offered is seen from a signature only.
 *
 * @returns whether the halves belong together.
 */
export async function findOutPaddings(key: TokenKey, signal: AbortSignal): Promise<boolean> {
  let refusal: KeysError | undefined
  for (const isPadded of [isPss, isPkcs1]) {
    let outcome = await trial(key, isPadded, signal)
    if (outcome instanceof KeysError && isPadded === isPss && !key.padsHere && key.canPadHere) {
      key.padHere()
      outcome = await trial(key, isPadded, signal)
    }
    if (outcome === false) return false
    if (outcome === true) continue
    refusal = outcome ?? refusal
    key.leaveOut(isPadded)
  }
  if (key.algorithms.size > 0) return true
  throw (
    refusal ?? new KeysError('ERR_KEYS_UNSUPPORTED', { path: key.source, detail: 'the token signs no RSA' })
  )
}

/** Whether the signature verifies; the error if there is none, because the token cannot. @throws what may go away. */
async function trial(
  key: TokenKey,
  isPadded: (algorithm: SignatureAlgorithm) => boolean,
  signal: AbortSignal,
): Promise<boolean | KeysError | undefined> {
  const algorithms = new Set([...key.algorithms].filter(isPadded))
  if (algorithms.size === 0) return undefined
  try {
    return await isProven(restricted(key, algorithms), signal)
  } catch (cause) {
    if (cause instanceof KeysError && !isAway(key)) return cause
    throw cause
  }
}

/** Some modules have no better answer than CKR_GENERAL_ERROR for what they cannot do; a token that is there is not away. */
function isAway({ token }: TokenKey): boolean {
  return token.health().state !== 'up'
}

function isPkcs1(algorithm: SignatureAlgorithm): boolean {
  return !isPss(algorithm)
}

function restricted(key: TokenKey, algorithms: ReadonlySet<SignatureAlgorithm>): PrivateKey {
  const { ski, keyType, publicKey, source } = key
  return { ski, keyType, publicKey, source, algorithms, sign: (...operation) => key.sign(...operation) }
}

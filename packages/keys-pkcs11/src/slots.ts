// Which slot has the token that a URI names.
import { KeysError } from '@latchkey/keys'
import { CK, cryptokiError, type Handle, type TokenInfo } from './cryptoki.ts'
import type { Pkcs11Module } from './module.ts'
import type { TokenName } from './uri.ts'

export interface SlotWithToken {
  readonly slot: Handle
  readonly slotId: number
  readonly info: TokenInfo
}

/** @throws {KeysError} */
export function slotsWithTokens(module: Pkcs11Module): SlotWithToken[] {
  try {
    return module.slots().map((slot) => ({
      slot,
      slotId: slotNumber(slot),
      info: module.cryptoki.C_GetTokenInfo(slot),
    }))
  } catch (cause) {
    throw cryptokiError(cause, module.path)
  }
}

/** @throws {KeysError} ERR_KEYS_NOT_FOUND, ERR_KEYS_URI if several fit. */
export function findSlot(module: Pkcs11Module, name: TokenName, source: string): Handle {
  const all = slotsWithTokens(module)
  const [fit, ...others] = all.filter((slot) => isNamed(slot, name))
  if (fit !== undefined && others.length === 0) return fit.slot
  const labels = all
    .filter(isInitialized)
    .map(({ slotId, info }) => `"${label(info)}" (serial ${serial(info)}, slot ${slotId})`)
  if (fit === undefined) {
    throw new KeysError('ERR_KEYS_NOT_FOUND', {
      path: source,
      found: labels.length === 0 ? 'no token in any slot' : `the tokens ${labels.join(', ')}`,
      hint: '"latchkey hsm list" shows what a module has',
    })
  }
  throw new KeysError('ERR_KEYS_URI', {
    path: source,
    detail: `${others.length + 1} tokens fit: ${labels.join(', ')}`,
    hint: 'name one by its serial',
  })
}

/** A slot may hold a token that nobody has set up yet. */
export function isInitialized({ info }: SlotWithToken): boolean {
  return (info.flags & CK.CKF_TOKEN_INITIALIZED) !== 0
}

/** Texts are padded with blanks to the length of their field. */
export function label({ label }: TokenInfo): string {
  return trimmed(label)
}

export function serial({ serialNumber }: TokenInfo): string {
  return trimmed(serialNumber)
}

/** A CK_ULONG of this machine. */
function slotNumber(slot: Handle): number {
  return slot.length === 8 ? Number(slot.readBigUInt64LE()) : slot.readUInt32LE()
}

/** Whether it is the token, or one of the tokens, that is meant. */
export function isNamed({ slotId, info }: SlotWithToken, name: TokenName): boolean {
  const pairs = [
    [name.token, label(info)],
    [name.serial, serial(info)],
    [name.slotId, slotId],
    [name.manufacturer, trimmed(info.manufacturerID)],
    [name.model, trimmed(info.model)],
  ]
  return pairs.every(([wanted, found]) => wanted === undefined || wanted === found)
}

/** Without the padding of its field. */
export function trimmed(text: string): string {
  return text.replace(/[ \0]+$/, '')
}

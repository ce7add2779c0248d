// Objects on a token and their attributes, PKCS #11 v2.40 §4 and §5.7.
import { CK, codeOf, type Cryptoki, type Handle } from './cryptoki.ts'
import type { ObjectName } from './uri.ts'

/** Handles asked for at a time. */
const BATCH = 256
/** More keys than this on one token are a mistake in the URI. */
export const MAX_OBJECTS = 20_000

export interface Attribute {
  readonly type: number
  readonly value: number | boolean | string | Buffer
}

/** Handles of all objects that have these attributes. */
export function findObjects(cryptoki: Cryptoki, session: Handle, template: readonly Attribute[]): Handle[] {
  const found: Handle[] = []
  cryptoki.C_FindObjectsInit(session, [...template])
  try {
    for (;;) {
      const batch = cryptoki.C_FindObjects(session, BATCH)
      found.push(...batch)
      if (batch.length === 0 || found.length >= MAX_OBJECTS) return found
    }
  } finally {
    cryptoki.C_FindObjectsFinal(session)
  }
}

/** @param objectClass CKO_… */
export function named(objectClass: number, { id, object }: ObjectName): Attribute[] {
  return [
    { type: CK.CKA_CLASS, value: objectClass },
    ...(id === undefined ? [] : [{ type: CK.CKA_ID, value: Buffer.from(id) }]),
    ...(object === undefined ? [] : [{ type: CK.CKA_LABEL, value: object }]),
  ]
}

/** The value of an attribute, or undefined if the object has none or does not show it. */
export function attribute(
  cryptoki: Cryptoki,
  session: Handle,
  object: Handle,
  type: number,
): Buffer | undefined {
  try {
    const [result] = cryptoki.C_GetAttributeValue(session, object, [{ type }])
    return result === undefined || result.value.length === 0 ? undefined : result.value
  } catch (cause) {
    // A token may answer in many ways that it has no such attribute; a lost session is found by the next call.
    if (codeOf(cause) === undefined) throw cause
    return undefined
  }
}

export function flag(cryptoki: Cryptoki, session: Handle, object: Handle, type: number): boolean | undefined {
  const value = attribute(cryptoki, session, object, type)
  return value === undefined ? undefined : value[0] !== 0
}

/** A CK_ULONG of this machine. */
export function ulong(value: Buffer): number {
  return value.length === 8 ? Number(value.readBigUInt64LE()) : value.readUInt32LE()
}

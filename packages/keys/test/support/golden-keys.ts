// The throw-away keys of the golden vectors, and what a key server answered with them.
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { SignatureAlgorithm } from '../../src/index.ts'

export interface GoldenKey {
  readonly name: string
  readonly ski: string
  readonly skiInput: string
  readonly spki: string
  readonly modulusDigest?: string
  readonly testOnlyPkcs8: string
}

export interface GoldenOperation {
  readonly name: string
  readonly key: string
  readonly operation: SignatureAlgorithm | 'decrypt'
  readonly input: string
  /** null: refused. */
  readonly output: string | null
  readonly deterministic: boolean
}

const vectors = JSON.parse(
  readFileSync(new URL('../vectors/key-server-replies.json', import.meta.url), 'utf8'),
) as { keys: GoldenKey[]; operations: GoldenOperation[] }

export const GOLDEN_KEYS: readonly GoldenKey[] = vectors.keys
export const GOLDEN_OPERATIONS: readonly GoldenOperation[] = vectors.operations

/** PKCS#8 in DER, a new copy: loading wipes it. */
export function goldenDer(name: string): Buffer {
  const key = GOLDEN_KEYS.find((key) => key.name === name)
  if (key === undefined) throw new RangeError(`no golden key ${name}`)
  return Buffer.from(key.testOnlyPkcs8, 'hex')
}

/** The same key in node:crypto, for exporting it in other forms and for checking against. */
export function goldenKeyObject(name: string): KeyObject {
  return createPrivateKey({ key: goldenDer(name), format: 'der', type: 'pkcs8' })
}

export function goldenPem(name: string): Buffer {
  return Buffer.from(goldenKeyObject(name).export({ type: 'pkcs8', format: 'pem' }))
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'))
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

// node:ffi of Node 26.1 and later, as far as we use it; node's typings do not have it yet.
import { getBuiltinModule } from 'node:process'

export interface Ffi {
  /** `null`: the program itself and the libraries it has loaded. */
  dlopen(
    path: null,
    signatures: Readonly<Record<string, { arguments: readonly string[]; return: string }>>,
  ): { functions: unknown }
  getRawPointer(memory: Uint8Array): bigint
}

/** Undefined where this Node has none. */
export function loadFfi(): Ffi | undefined {
  return getBuiltinModule('node:ffi') as Ffi | undefined
}

// The same primitives through `node:ffi`, from the OpenSSL that Node is built on and exports.
//
// node:crypto makes objects of the JavaScript heap for every hash, cipher and key; a call through the FFI makes none. All
// that goes in and comes out stands in one page of memory whose address does not change, and secrets in it are wiped after
// each call. What OpenSSL deprecates (SHA256_*) or calls internal (ossl_x25519) may go or change with any Node: the
// self-test finds out, and then nothing is installed. Decision 0008.
import { nodePrimitives, type Primitives, usePrimitives } from '../crypto-provider.ts'
import { bindAeads } from './aeads.ts'
import { loadFfi } from './ffi.ts'
import { bindHashes } from './hashes.ts'
import { bindMlKem } from './ml-kem.ts'
import { openPage } from './page.ts'
import { agree } from './self-test.ts'
import { bindX25519 } from './x25519.ts'

/**
 * From now on this process hashes, seals and exchanges X25519 keys through the FFI. Call it once, before the first server.
 * Node warns that `node:ffi` is experimental.
 *
 * @returns whether it could: false, and nothing changes, where this Node has no `node:ffi` or its OpenSSL differs.
 */
export function useOpenSslPrimitives(): boolean {
  const primitives = openSslPrimitives()
  if (primitives !== undefined) usePrimitives(primitives)
  return primitives !== undefined
}

/** Undefined if they cannot be had here, or do not agree with node:crypto. */
export function openSslPrimitives(): Primitives | undefined {
  try {
    const ffi = loadFfi()
    if (ffi === undefined) return undefined
    const page = openPage(ffi)
    const primitives = { ...bindHashes(page), ...bindX25519(page), ...bindMlKem(page), ...bindAeads(page) }
    return agree(primitives, nodePrimitives) ? primitives : undefined
  } catch {
    return undefined
  }
}

import type { KeyObject } from 'node:crypto'
import { openFileStore, subjectKeyIdentifier } from '@latchkey/keys'

/** Signs a SHA-256 digest with the private half of `publicKey`, if its file is below `directory`. */
export async function signDigest(
  directory: string,
  publicKey: KeyObject,
  digest: Uint8Array,
): Promise<Uint8Array | undefined> {
  await using store = await openFileStore([{ dir: directory }])
  return store.find(subjectKeyIdentifier(publicKey))?.sign('ecdsa_sha256', digest)
}

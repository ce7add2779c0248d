import {
  createKeylessSigner,
  createKeyServerClient,
  type KeyServerClientOptions,
  type RemoteKey,
} from '@latchkey/client'
import type { SignRequest } from '@latchkey/tls'

/** Has `request` signed by a key server; `keys` says by which of its keys, per certificate. */
export async function signOnce(
  address: KeyServerClientOptions, // host, ca, cert, key
  keys: ReadonlyMap<string, RemoteKey>,
  request: SignRequest,
): Promise<Uint8Array> {
  await using client = createKeyServerClient(address)
  const signer = createKeylessSigner({ client, keys })
  return await signer.sign(request, AbortSignal.timeout(5000))
}

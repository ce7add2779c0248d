// X25519 in the page. RFC 7748 §5.
import type { EphemeralKey, Primitives } from '../crypto-provider.ts'
import { KEY_AT, must, type Page, PEER_AT, RESULT_AT, take } from './page.ts'

export const X25519_BYTES = 32

export function bindX25519(page: Page): Pick<Primitives, 'generateX25519'> {
  const { openSsl, memory, pointer } = page
  const { RAND_priv_bytes, ossl_x25519 } = openSsl
  const key = pointer(KEY_AT)
  const peer = pointer(PEER_AT)
  const result = pointer(RESULT_AT)
  const basePoint = new Uint8Array(X25519_BYTES)
  basePoint[0] = 9 // RFC 7748 §4.1

  function generateX25519(): EphemeralKey {
    must(RAND_priv_bytes(key, BigInt(X25519_BYTES)))
    const privateKey = take(page, KEY_AT, X25519_BYTES)
    let isUsed = false
    return {
      share: x25519(privateKey, basePoint),
      sharedSecret(clientShare) {
        // With what is left of it the secret would be known to all.
        if (isUsed) throw new Error('an ephemeral key is used once')
        isUsed = true
        const secret = x25519(privateKey, clientShare)
        privateKey.fill(0)
        return secret
      },
    }
  }
  /** @throws if the result is all zeros: RFC 7748 §6.1. */
  function x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
    if (publicKey.length !== X25519_BYTES) throw new RangeError(`X25519 key of ${publicKey.length} bytes`)
    memory.set(privateKey, KEY_AT)
    memory.set(publicKey, PEER_AT)
    const isNonZero = ossl_x25519(result, key, peer) === 1
    const product = take(page, RESULT_AT, X25519_BYTES)
    memory.fill(0, KEY_AT, KEY_AT + X25519_BYTES)
    if (!isNonZero) throw new Error('X25519 result is all zeros')
    return product
  }

  return { generateX25519 }
}

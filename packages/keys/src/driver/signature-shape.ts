// Whether what a home answered can be a signature at all: a cut or foreign answer must not travel on as one.
import { KeysError } from '../errors.ts'
import type { SupportedHalf } from '../supported-half.ts'
import { ecdsaFromDer, ORDER_BYTES } from './ecdsa-signature.ts'

/** RFC 8032 §5.1.6. */
const ED25519_BYTES = 64

/**
 * @param signature as TLS carries it.
 * @throws {KeysError} ERR_KEYS_REPLY
 */
export function checkSignatureShape(half: SupportedHalf, signature: Uint8Array): void {
  if (half.kind === 'ec') {
    ecdsaFromDer(signature, ORDER_BYTES[half.curve] as number)
    return
  }
  const length = half.kind === 'rsa' ? Math.ceil(half.bits / 8) : ED25519_BYTES
  if (signature.length !== length) {
    throw new KeysError('ERR_KEYS_REPLY', {
      found: `a signature of ${signature.length} bytes`,
      expected: `${length}`,
    })
  }
}

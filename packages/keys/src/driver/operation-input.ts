// What is checked before a digest leaves the process, the same for each driver.
import { KeysError } from '../errors.ts'
import { type PrivateKey, SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from '../private-key.ts'

/** @throws {KeysError} ERR_KEYS_ALGORITHM, ERR_KEYS_DIGEST_LENGTH; the signal's reason if the caller has gone. */
export function checkOperation(
  { algorithms, source }: Pick<PrivateKey, 'algorithms' | 'source'>,
  algorithm: SignatureAlgorithm,
  input: Uint8Array,
  signal: AbortSignal | undefined,
): void {
  if (!algorithms.has(algorithm)) {
    throw new KeysError('ERR_KEYS_ALGORITHM', { path: source, detail: algorithm })
  }
  const { digestBytes } = SIGNATURE_ALGORITHMS[algorithm]
  if (digestBytes !== undefined && input.length !== digestBytes) {
    throw new KeysError('ERR_KEYS_DIGEST_LENGTH', {
      path: source,
      found: `${input.length} bytes`,
      expected: `${digestBytes} for ${algorithm}`,
    })
  }
  signal?.throwIfAborted()
}

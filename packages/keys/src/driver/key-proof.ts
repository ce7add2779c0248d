// One signature that shows that the private half at a home belongs to the public half it is known by.
import { constants, hash, randomBytes, verify } from 'node:crypto'
import { KeysError } from '../errors.ts'
import { isPss } from '../algorithms.ts'
import { type PrivateKey, SIGNATURE_ALGORITHMS, type SignatureAlgorithm } from '../private-key.ts'

/** The key's first algorithm in this order: those that a TLS handshake asks for. */
const PREFERRED: readonly SignatureAlgorithm[] = [
  'ecdsa_sha256',
  'ecdsa_sha384',
  'ecdsa_sha512',
  'ed25519',
  'rsa_pss_sha256',
  'rsa_pss_sha384',
  'rsa_pss_sha512',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
]

/**
 * Signs random bytes and verifies the signature.
 *
 * @throws {KeysError} ERR_KEYS_MISMATCH if it does not verify; what signing throws.
 */
export async function proveKey(key: PrivateKey, signal?: AbortSignal): Promise<void> {
  const algorithm = provableAlgorithm(key.algorithms)
  const message = randomBytes(32)
  const { hash: hashName } = SIGNATURE_ALGORITHMS[algorithm]
  const input = hashName === undefined ? message : hash(hashName, message, 'buffer')
  const signature = await key.sign(algorithm, input, signal === undefined ? {} : { signal })
  if (!isSignature(key, algorithm, message, signature)) {
    throw new KeysError('ERR_KEYS_MISMATCH', {
      path: key.source,
      detail: 'a signature of the private half does not verify with the public half',
    })
  }
}

/** Whether `signature` is the key's over `message`, which is hashed here. */
export function isSignature(
  { publicKey }: Pick<PrivateKey, 'publicKey'>,
  algorithm: SignatureAlgorithm,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { hash: hashName } = SIGNATURE_ALGORITHMS[algorithm]
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
  return verify(hashName ?? null, message, { key: publicKey, ...(isPss(algorithm) ? pss : {}) }, signature)
}

function provableAlgorithm(algorithms: ReadonlySet<SignatureAlgorithm>): SignatureAlgorithm {
  const [anyone] = [...algorithms].filter((name) => SIGNATURE_ALGORITHMS[name].hash !== 'md5-sha1')
  const algorithm = PREFERRED.find((name) => algorithms.has(name)) ?? anyone
  if (algorithm === undefined)
    throw new KeysError('ERR_KEYS_UNSUPPORTED', { detail: 'no algorithm in use today' })
  return algorithm
}

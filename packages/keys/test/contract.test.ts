// The contract on the file store, and on a small store over node:crypto that answers later.
import {
  constants,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  privateEncrypt,
  sign,
} from 'node:crypto'
import {
  KeysError,
  type KeyStore,
  openFileStore,
  type PrivateKey,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
  subjectKeyIdentifier,
} from '../src/index.ts'
import { keyStoreContract } from './key-store-contract.ts'
import { GOLDEN_KEYS, goldenKeyObject, goldenPem } from './support/golden-keys.ts'
import { temporaryDirectory } from './support/temporary-directory.ts'

keyStoreContract('files', async () => {
  await using directory = await temporaryDirectory()
  for (const { name } of GOLDEN_KEYS) await directory.write(`${name}.key`, goldenPem(name))
  const p224 = generateKeyPairSync('ec', { namedCurve: 'secp224r1' })
  const weak = generateKeyPairSync('rsa', { modulusLength: 1025 })
  for (const [name, { privateKey }] of Object.entries({ p224, weak })) {
    await directory.write(`${name}.key`, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  }
  return {
    store: await openFileStore([{ dir: directory.path }], { allowWeakRsa: true }),
    publicKeys: [
      ...GOLDEN_KEYS.map(({ name }) => createPublicKey(goldenKeyObject(name))),
      p224.publicKey,
      weak.publicKey,
    ],
  }
})

keyStoreContract('node:crypto, answering later', async () => {
  const keys = ['rsa2048', 'ed25519'].map((name) => new NodeCryptoKey(goldenKeyObject(name)))
  return { store: new NodeCryptoStore(keys), publicKeys: keys.map((key) => key.publicKey) }
})

/** What node:crypto can do with a digest: PKCS#1 through raw private encryption, Ed25519, raw decryption. */
class NodeCryptoKey implements PrivateKey {
  readonly publicKey: KeyObject
  readonly ski: Uint8Array
  readonly keyType: 'rsa' | 'ed25519'
  readonly algorithms: ReadonlySet<SignatureAlgorithm>
  readonly source = 'memory'
  readonly decryptRaw?: (ciphertext: Uint8Array, options?: { signal?: AbortSignal }) => Promise<Uint8Array>
  readonly #key: KeyObject

  constructor(key: KeyObject) {
    this.#key = key
    this.publicKey = createPublicKey(key)
    this.ski = subjectKeyIdentifier(this.publicKey)
    this.keyType = key.asymmetricKeyType as 'rsa' | 'ed25519'
    this.algorithms = new Set<SignatureAlgorithm>(
      this.keyType === 'rsa' ? ['rsa_pkcs1_md5_sha1', 'rsa_pkcs1_sha256'] : ['ed25519'],
    )
    if (this.keyType === 'rsa') {
      this.decryptRaw = async (ciphertext, options) => {
        await turn(options?.signal)
        return this.#decrypt(ciphertext)
      }
    }
  }

  async sign(
    algorithm: SignatureAlgorithm,
    input: Uint8Array,
    options?: { signal?: AbortSignal },
  ): Promise<Uint8Array> {
    await turn(options?.signal)
    if (!this.algorithms.has(algorithm)) throw new KeysError('ERR_KEYS_ALGORITHM')
    const { digestBytes, hash } = SIGNATURE_ALGORITHMS[algorithm]
    if (digestBytes === undefined) return sign(null, input, this.#key)
    if (input.length !== digestBytes) throw new KeysError('ERR_KEYS_DIGEST_LENGTH')
    const info =
      hash === 'sha256' ? Buffer.from('3031300d060960864801650304020105000420', 'hex') : Buffer.of()
    return privateEncrypt(
      { key: this.#key, padding: constants.RSA_PKCS1_PADDING },
      Buffer.concat([info, input]),
    )
  }

  #decrypt(ciphertext: Uint8Array): Uint8Array {
    const size = (this.publicKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8
    const integer = BigInt(`0x0${Buffer.from(ciphertext).toString('hex')}`)
    const modulus = BigInt(
      `0x${Buffer.from(this.publicKey.export({ format: 'jwk' }).n ?? '', 'base64url').toString('hex')}`,
    )
    if (integer > modulus) throw new KeysError('ERR_KEYS_CRYPTO')
    const block = Buffer.from((integer % modulus).toString(16).padStart(2 * size, '0'), 'hex')
    return privateDecrypt({ key: this.#key, padding: constants.RSA_NO_PADDING }, block)
  }
}

class NodeCryptoStore implements KeyStore {
  readonly #keys: readonly PrivateKey[]

  constructor(keys: readonly PrivateKey[]) {
    this.#keys = keys
  }

  async find(ski: Uint8Array): Promise<PrivateKey | undefined> {
    const wanted = Buffer.from(ski)
    await turn()
    return this.#keys.find((key) => wanted.equals(key.ski))
  }

  list(): Iterable<PrivateKey> {
    return this.#keys
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

async function turn(signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  await new Promise((resolve) => setImmediate(resolve))
}

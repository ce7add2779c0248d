// AWS KMS by the official SDK: how a key is found there and what it signs.
import { createPublicKey, type KeyObject } from 'node:crypto'
import {
  GetPublicKeyCommand,
  type GetPublicKeyCommandOutput,
  KMSClient,
  SignCommand,
  type SigningAlgorithmSpec,
} from '@aws-sdk/client-kms'
import { KeysError, type SignatureAlgorithm } from '@latchkey/keys'
import {
  ecdsaInput,
  ORDER_BYTES,
  type RemoteCalls,
  type RemoteHome,
  type RemoteService,
} from '@latchkey/keys/driver'
import { awsError } from './errors.ts'
import { type AwsKeyName, readAwsKeyName } from './key-name.ts'

const RSA: ReadonlyMap<SignatureAlgorithm, SigningAlgorithmSpec> = new Map([
  ['rsa_pkcs1_sha256', 'RSASSA_PKCS1_V1_5_SHA_256'],
  ['rsa_pkcs1_sha384', 'RSASSA_PKCS1_V1_5_SHA_384'],
  ['rsa_pkcs1_sha512', 'RSASSA_PKCS1_V1_5_SHA_512'],
  ['rsa_pss_sha256', 'RSASSA_PSS_SHA_256'],
  ['rsa_pss_sha384', 'RSASSA_PSS_SHA_384'],
  ['rsa_pss_sha512', 'RSASSA_PSS_SHA_512'],
])
const EC: ReadonlyMap<string, SigningAlgorithmSpec> = new Map([
  ['prime256v1', 'ECDSA_SHA_256'],
  ['secp384r1', 'ECDSA_SHA_384'],
  ['secp521r1', 'ECDSA_SHA_512'],
])
const EC_DIGESTS = ['ecdsa_sha1', 'ecdsa_sha224', 'ecdsa_sha256', 'ecdsa_sha384', 'ecdsa_sha512'] as const
const ED25519: SigningAlgorithmSpec = 'ED25519_SHA_512'
/** API_Sign: what is not a digest is 4,096 bytes at most. */
const MAX_MESSAGE = 4096

export function awsService(): RemoteService<AwsKeyName> {
  const clients = new Map<string, KMSClient>()
  const clientFor = (region: string | undefined): KMSClient => {
    const known = clients.get(region ?? '')
    if (known !== undefined) return known
    // Tries are counted where budgets are.
    const made = new KMSClient({ maxAttempts: 1, ...(region === undefined ? {} : { region }) })
    clients.set(region ?? '', made)
    return made
  }
  return {
    close: () => {
      for (const client of clients.values()) client.destroy()
    },
    // 500 RSA or 300 ECC operations a second, of an account in a region.
    defaults: { maxInFlight: 32, maxPerSecond: 250, timeoutMs: 5000 },
    readUri: readAwsKeyName,
    sourceOf: ({ keyId, region }) =>
      keyId.startsWith('arn:') || region === undefined ? keyId : `awskms:///${keyId}?region=${region}`,
    open: async ({ keyId, region }, calls) => {
      const client = clientFor(region)
      const found = await calls.run('find', (abortSignal) =>
        told(calls, () => client.send(new GetPublicKeyCommand({ KeyId: keyId }), { abortSignal })),
      )
      const publicKey = publicKeyOf(found, calls)
      return homeOf(
        publicKey,
        found.SigningAlgorithms ?? [],
        async (algorithm, message, isDigest, signal) => {
          const command = new SignCommand({
            KeyId: keyId,
            Message: message,
            MessageType: isDigest ? 'DIGEST' : 'RAW',
            SigningAlgorithm: algorithm,
          })
          const { Signature } = await told(calls, () => client.send(command, { abortSignal: signal }))
          if (Signature === undefined) throw foreign(calls, 'an answer without a signature')
          return new Uint8Array(Signature)
        },
      )
    },
  }
}

type Ask = (
  algorithm: SigningAlgorithmSpec,
  message: Uint8Array,
  isDigest: boolean,
  signal: AbortSignal,
) => Promise<Uint8Array>

function homeOf(publicKey: KeyObject, offered: readonly string[], ask: Ask): RemoteHome {
  const { asymmetricKeyType, asymmetricKeyDetails } = publicKey
  if (asymmetricKeyType === 'ed25519') {
    return {
      publicKey,
      algorithms: offered.includes(ED25519) ? ['ed25519'] : [],
      sign: (_algorithm, message, signal) => {
        if (message.length > MAX_MESSAGE) {
          throw new KeysError('ERR_KEYS_LIMIT', {
            detail: `AWS signs messages of up to ${MAX_MESSAGE} bytes`,
          })
        }
        return ask(ED25519, message, false, signal)
      },
    }
  }
  if (asymmetricKeyType === 'rsa') {
    return {
      publicKey,
      algorithms: [...RSA].filter(([, name]) => offered.includes(name)).map(([algorithm]) => algorithm),
      sign: (algorithm, digest, signal) =>
        ask(RSA.get(algorithm) as SigningAlgorithmSpec, digest, true, signal),
    }
  }
  const curve = asymmetricKeyDetails?.namedCurve ?? ''
  const name = EC.get(curve)
  return {
    publicKey,
    algorithms: name !== undefined && offered.includes(name) ? EC_DIGESTS : [],
    sign: (_algorithm, digest, signal) =>
      ask(name as SigningAlgorithmSpec, ecdsaInput(digest, ORDER_BYTES[curve] as number), true, signal),
  }
}

function publicKeyOf({ PublicKey, KeyUsage }: GetPublicKeyCommandOutput, calls: RemoteCalls): KeyObject {
  if (KeyUsage !== undefined && KeyUsage !== 'SIGN_VERIFY') {
    throw new KeysError('ERR_KEYS_ALGORITHM', {
      path: calls.source,
      found: `a key for ${KeyUsage}`,
      expected: 'SIGN_VERIFY',
    })
  }
  if (PublicKey === undefined) throw foreign(calls, 'an answer without a key')
  try {
    return createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new KeysError('ERR_KEYS_REPLY', {
      path: calls.source,
      detail: 'a public key that cannot be read',
      cause,
    })
  }
}

async function told<T>({ source }: RemoteCalls, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (cause) {
    throw awsError(cause, source)
  }
}

function foreign({ source }: RemoteCalls, detail: string): KeysError {
  return new KeysError('ERR_KEYS_REPLY', { path: source, detail })
}

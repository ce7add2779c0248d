// Azure Key Vault and Managed HSM by the official SDK: how a key is found there and what it signs.
import { createPublicKey, type KeyObject } from 'node:crypto'
import type { TokenCredential } from '@azure/core-auth'
import type { HttpClient } from '@azure/core-rest-pipeline'
import {
  CryptographyClient,
  KeyClient,
  type SignatureAlgorithm as AzureAlgorithm,
} from '@azure/keyvault-keys'
import { KeysError, type SignatureAlgorithm } from '@latchkey/keys'
import {
  ecdsaInput,
  ecdsaToDer,
  ORDER_BYTES,
  type RemoteCalls,
  type RemoteHome,
  type RemoteService,
} from '@latchkey/keys/driver'
import { azureCredential } from './credential.ts'
import { azureError } from './errors.ts'
import { type AzureKeyName, readAzureKeyName } from './key-name.ts'

export interface AzureOptions {
  readonly env: NodeJS.ProcessEnv
  /** In place of the SDK's own, for all that goes over the network. */
  readonly httpClient?: HttpClient | undefined
}

/** RFC 7518 §3.1 names, as Azure has them. */
const RSA: ReadonlyMap<SignatureAlgorithm, AzureAlgorithm> = new Map([
  ['rsa_pkcs1_sha256', 'RS256'],
  ['rsa_pkcs1_sha384', 'RS384'],
  ['rsa_pkcs1_sha512', 'RS512'],
  ['rsa_pss_sha256', 'PS256'],
  ['rsa_pss_sha384', 'PS384'],
  ['rsa_pss_sha512', 'PS512'],
])
const EC: ReadonlyMap<string, AzureAlgorithm> = new Map([
  ['prime256v1', 'ES256'],
  ['secp384r1', 'ES384'],
  ['secp521r1', 'ES512'],
])
const EC_DIGESTS = ['ecdsa_sha1', 'ecdsa_sha224', 'ecdsa_sha256', 'ecdsa_sha384', 'ecdsa_sha512'] as const

/** A vault does 2,000 operations with HSM keys of 2048 bits or P-256 in ten seconds, all its users together. */
export function azureService({ env, httpClient }: AzureOptions): RemoteService<AzureKeyName> {
  let credential: TokenCredential | undefined
  const clientOptions = {
    retryOptions: { maxRetries: 0 }, // tries are counted where budgets are
    ...(httpClient === undefined ? {} : { httpClient }),
  }
  return {
    defaults: { maxInFlight: 32, maxPerSecond: 180, timeoutMs: 5000 },
    readUri: readAzureKeyName,
    sourceOf: ({ vaultUrl, name, version }) =>
      `${vaultUrl}/keys/${name}${version === undefined ? '' : `/${version}`}`,
    open: async ({ vaultUrl, name, version }, calls) => {
      credential ??= azureCredential(env, httpClient)
      const keys = new KeyClient(vaultUrl, credential, clientOptions)
      const found = await calls.run('find', (abortSignal) =>
        told(calls, () => keys.getKey(name, { abortSignal, ...(version === undefined ? {} : { version }) })),
      )
      const { key, id, properties } = found
      if (properties.enabled === false) throw disabled(calls.source, 'it is disabled')
      if (key === undefined || id === undefined) throw foreign(calls.source)
      const publicKey = publicKeyOf(key, calls.source)
      const signer = new CryptographyClient(id, credential, clientOptions)
      return homeOf(publicKey, calls, signer)
    },
  }
}

function homeOf(publicKey: KeyObject, calls: RemoteCalls, signer: CryptographyClient): RemoteHome {
  const curve = publicKey.asymmetricKeyDetails?.namedCurve
  const orderBytes = curve === undefined ? undefined : ORDER_BYTES[curve]
  const sign = async (
    name: AzureAlgorithm,
    digest: Uint8Array,
    abortSignal: AbortSignal,
  ): Promise<Uint8Array> => {
    const { result } = await told(calls, () => signer.sign(name, digest, { abortSignal }))
    return new Uint8Array(result)
  }
  if (orderBytes === undefined) {
    return {
      publicKey,
      algorithms: RSA.keys(),
      sign: (algorithm, digest, signal) => sign(RSA.get(algorithm) as AzureAlgorithm, digest, signal),
    }
  }
  const name = EC.get(curve ?? '')
  return {
    publicKey,
    algorithms: name === undefined ? [] : EC_DIGESTS,
    sign: async (_algorithm, digest, signal) =>
      ecdsaToDer(await sign(name as AzureAlgorithm, ecdsaInput(digest, orderBytes), signal), orderBytes),
  }
}

async function told<T>({ source }: RemoteCalls, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (cause) {
    throw azureError(cause, source)
  }
}

/** RSA-HSM and EC-HSM are RSA and EC that cannot be taken out. */
function publicKeyOf(
  { kty, n, e, crv, x, y }: NonNullable<Awaited<ReturnType<KeyClient['getKey']>>['key']>,
  source: string,
): KeyObject {
  const text = (bytes: Uint8Array | undefined): string =>
    bytes === undefined ? '' : Buffer.from(bytes).toString('base64url')
  const type = kty?.replace('-HSM', '')
  const jwk =
    type === 'RSA'
      ? { kty: 'RSA', n: text(n), e: text(e) }
      : { kty: 'EC', crv: crv ?? '', x: text(x), y: text(y) }
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch (cause) {
    throw new KeysError('ERR_KEYS_UNSUPPORTED', {
      path: source,
      found: `a key of type ${String(kty)}`,
      cause,
    })
  }
}

function disabled(path: string, detail: string): KeysError {
  return new KeysError('ERR_KEYS_DISABLED', { path, detail, hint: 'enable the key, or name another version' })
}

function foreign(path: string): KeysError {
  return new KeysError('ERR_KEYS_REPLY', { path, detail: 'an answer without a key' })
}

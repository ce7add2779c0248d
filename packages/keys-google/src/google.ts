// Google Cloud KMS and Cloud HSM over REST, with the official library for who we are.
// https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions
import { createPublicKey, type KeyObject } from 'node:crypto'
import { type AuthClient, GoogleAuth, JWT } from 'google-auth-library'
import { KeysError, type SignatureAlgorithm, SIGNATURE_ALGORITHMS } from '@latchkey/keys'
import {
  DIGEST_INFO,
  type DigestInfoHash,
  ecdsaInput,
  type RemoteCalls,
  type RemoteHome,
  type RemoteService,
} from '@latchkey/keys/driver'
import { type GoogleSigning, signingOf } from './algorithms.ts'
import { crc32c } from './crc32c.ts'
import { googleError } from './errors.ts'

const SCOPE = 'https://www.googleapis.com/auth/cloudkms'
const ENDPOINT = 'https://cloudkms.googleapis.com/'
/** The name of a key version is ten segments. */
const NAME =
  /^projects\/[\w.:-]{1,100}\/locations\/[\w-]{1,63}\/keyRings\/[\w-]{1,63}\/cryptoKeys\/[\w-]{1,63}\/cryptoKeyVersions\/\d{1,19}$/

/** @param env `CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS`: another place for the service, as gcloud takes it. */
export function googleService(env: NodeJS.ProcessEnv): RemoteService<string> {
  const endpoint = new URL('v1/', env['CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS'] ?? ENDPOINT).href
  const auth = new GoogleAuth({ scopes: [SCOPE] })
  let client: AuthClient | undefined
  /** A service account signs its own token (AIP-4111): no call for one, and no clock of another service. */
  const signedIn = async (): Promise<AuthClient> => {
    client ??= await auth.getClient()
    if (client instanceof JWT) client.useJWTAccessWithScope = true
    return client
  }
  return {
    // 3,000 operations a minute with HSM keys, of a project.
    defaults: { maxInFlight: 32, maxPerSecond: 50, timeoutMs: 5000 },
    readUri: (uri) => {
      if (NAME.test(uri)) return uri
      throw new KeysError('ERR_KEYS_URI', {
        path: 'Google Cloud KMS key',
        expected: 'projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N',
      })
    },
    sourceOf: (name) => name,
    open: async (name, calls) => {
      const request = <T>(
        method: 'GET' | 'POST',
        path: string,
        signal: AbortSignal,
        data?: object,
      ): Promise<T> =>
        asked<T>(
          signedIn,
          { url: `${endpoint}${path}`, method, signal, ...(data === undefined ? {} : { data }) },
          calls,
        )
      const { pem, pemCrc32c, algorithm } = await calls.run('find', (signal) =>
        request<PublicKeyAnswer>('GET', `${name}/publicKey`, signal),
      )
      if (typeof pem !== 'string' || typeof algorithm !== 'string')
        throw foreign(calls, 'an answer without a key')
      checkCrc(calls, 'the public key', Buffer.from(pem), pemCrc32c)
      const signing = signingOf(algorithm)
      if (signing === undefined) {
        throw new KeysError('ERR_KEYS_UNSUPPORTED', {
          path: calls.source,
          found: `a key for ${algorithm}`,
          expected: 'EC_SIGN_P256_SHA256, EC_SIGN_P384_SHA384, EC_SIGN_ED25519 or RSA_SIGN_…',
        })
      }
      const sign = (input: Uint8Array, signal: AbortSignal): Promise<Uint8Array> =>
        signed(calls, name, signing, input, (data) => request('POST', `${name}:asymmetricSign`, signal, data))
      return { publicKey: publicKeyOf(pem, calls), ...homeOf(signing, sign) }
    },
  }
}

interface PublicKeyAnswer {
  readonly pem?: string
  readonly pemCrc32c?: string
  readonly algorithm?: string
}

interface SignAnswer {
  readonly name?: string
  readonly signature?: string
  readonly signatureCrc32c?: string
  readonly verifiedDigestCrc32c?: boolean
  readonly verifiedDataCrc32c?: boolean
}

function homeOf(
  { algorithms, orderBytes, isDigestInfo = false }: GoogleSigning,
  sign: (input: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>,
): Omit<RemoteHome, 'publicKey'> {
  const inputOf = (algorithm: SignatureAlgorithm, digest: Uint8Array): Uint8Array => {
    if (orderBytes !== undefined) return ecdsaInput(digest, orderBytes)
    const { hash } = SIGNATURE_ALGORITHMS[algorithm]
    return isDigestInfo ? Buffer.concat([DIGEST_INFO[hash as DigestInfoHash], digest]) : digest
  }
  return { algorithms, sign: (algorithm, digest, signal) => sign(inputOf(algorithm, digest), signal) }
}

/** Sent with its checksum, and what comes back checked by its own: both ways, as the documentation asks. */
async function signed(
  calls: RemoteCalls,
  name: string,
  { input: member }: GoogleSigning,
  input: Uint8Array,
  ask: (data: object) => Promise<SignAnswer>,
): Promise<Uint8Array> {
  const text = Buffer.from(input).toString('base64')
  const checksum = String(crc32c(input))
  const isData = member === 'data'
  const answer = await ask(
    isData ? { data: text, dataCrc32c: checksum } : { digest: { [member]: text }, digestCrc32c: checksum },
  )
  if ((isData ? answer.verifiedDataCrc32c : answer.verifiedDigestCrc32c) !== true) {
    throw foreign(calls, 'the service did not receive what was sent: the checksum is not verified')
  }
  if (answer.name !== undefined && answer.name !== name) throw foreign(calls, 'an answer of another key')
  if (typeof answer.signature !== 'string') throw foreign(calls, 'an answer without a signature')
  const signature = Buffer.from(answer.signature, 'base64')
  checkCrc(calls, 'the signature', signature, answer.signatureCrc32c)
  return new Uint8Array(signature)
}

async function asked<T>(
  signedIn: () => Promise<AuthClient>,
  request: {
    readonly url: string
    readonly method: 'GET' | 'POST'
    readonly data?: object
    readonly signal: AbortSignal
  },
  { source }: RemoteCalls,
): Promise<T> {
  let data: unknown
  try {
    const client = await signedIn()
    ;({ data } = await client.request<unknown>({ ...request, retry: false, responseType: 'json' }))
  } catch (cause) {
    throw googleError(cause, source)
  }
  // The library hands over text that is no JSON as it is.
  if (typeof data === 'object' && data !== null) return data as T
  throw new KeysError('ERR_KEYS_REPLY', { path: source, detail: 'an answer that is not JSON' })
}

function checkCrc(calls: RemoteCalls, what: string, bytes: Uint8Array, said: unknown): void {
  if (String(crc32c(bytes)) !== String(said)) throw foreign(calls, `${what} does not have its checksum`)
}

function publicKeyOf(pem: string, { source }: RemoteCalls): KeyObject {
  try {
    return createPublicKey(pem)
  } catch (cause) {
    throw new KeysError('ERR_KEYS_REPLY', { path: source, detail: 'a public key that cannot be read', cause })
  }
}

function foreign({ source }: RemoteCalls, detail: string): KeysError {
  return new KeysError('ERR_KEYS_REPLY', { path: source, detail })
}

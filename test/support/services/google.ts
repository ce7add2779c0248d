// Cloud KMS: projects.locations.keyRings.cryptoKeys.cryptoKeyVersions, getPublicKey and asymmetricSign.
import { verify, type KeyObject } from 'node:crypto'
import type { SignatureAlgorithm } from '@latchkey/keys'
import { crc32c } from '../../../packages/keys-google/src/crc32c.ts'
import { type Answered, type Asked, type PairName, publicKeyOf, Service, signerOf } from './service.ts'

export const RING = 'projects/p/locations/europe-west1/keyRings/r/cryptoKeys'

/** Key, its algorithm, and how it signs what comes as `member`. */
export const GOOGLE_KEYS = {
  p256: { pair: 'p256', algorithm: 'EC_SIGN_P256_SHA256', member: 'sha256', signs: 'ecdsa_sha256' },
  p384: { pair: 'p384', algorithm: 'EC_SIGN_P384_SHA384', member: 'sha384', signs: 'ecdsa_sha384' },
  pss: { pair: 'rsa', algorithm: 'RSA_SIGN_PSS_2048_SHA256', member: 'sha256', signs: 'rsa_pss_sha256' },
  pkcs1: {
    pair: 'rsa',
    algorithm: 'RSA_SIGN_PKCS1_2048_SHA256',
    member: 'sha256',
    signs: 'rsa_pkcs1_sha256',
  },
  ed25519: { pair: 'ed25519', algorithm: 'EC_SIGN_ED25519', member: 'data', signs: 'ed25519' },
  secp256k1: { pair: 'p256', algorithm: 'EC_SIGN_SECP256K1_SHA256', member: 'sha256', signs: 'ecdsa_sha256' },
} as const satisfies Record<
  string,
  { pair: PairName; algorithm: string; member: string; signs: SignatureAlgorithm }
>
export type GoogleKey = keyof typeof GOOGLE_KEYS

export function googleName(key: GoogleKey): string {
  return `${RING}/${key}/cryptoKeyVersions/1`
}

/** @param account whose tokens are taken. */
export function startGoogle(account: {
  readonly email: string
  readonly publicKey: KeyObject
}): Promise<Service> {
  return Service.start({
    isFaulty: ({ path }) => path.endsWith(':asymmetricSign'),
    answer: (asked) =>
      isSignedBy(asked, account) ? answer(asked) : refusal(401, 'UNAUTHENTICATED', 'no valid token'),
  })
}

export function refusal(code: number, status: string, message: string, headers = {}): Answered {
  return { status: code, headers, body: { error: { code, status, message } } }
}

/** A self-signed JWT, AIP-4111: audience or scope of this service. */
function isSignedBy(
  { headers }: Asked,
  { email, publicKey }: { email: string; publicKey: KeyObject },
): boolean {
  const [head = '', claims = '', signature = ''] = (headers.authorization ?? '')
    .replace('Bearer ', '')
    .split('.')
  const read = (part: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(part, 'base64url').toString('utf8') || '{}') as Record<string, unknown>
  const { iss, scope, exp } = read(claims)
  return (
    verify('sha256', Buffer.from(`${head}.${claims}`), publicKey, Buffer.from(signature, 'base64url')) &&
    iss === email &&
    scope === 'https://www.googleapis.com/auth/cloudkms' &&
    Number(exp) > Date.now() / 1000
  )
}

function answer({ method, path, body }: Asked): Answered {
  const [, name = '', id = '', action = ''] =
    /^\/v1\/(.*\/cryptoKeys\/([\w-]+)\/cryptoKeyVersions\/1)(\/publicKey|:asymmetricSign)$/.exec(path) ?? []
  const key = GOOGLE_KEYS[id as GoogleKey] as (typeof GOOGLE_KEYS)[GoogleKey] | undefined
  if (key === undefined || !name.startsWith(RING)) {
    return refusal(404, 'NOT_FOUND', `CryptoKeyVersion ${name} not found.`)
  }
  if (method === 'GET' && action === '/publicKey') {
    const pem = publicKeyOf(key.pair).export({ type: 'spki', format: 'pem' })
    const answered = {
      pem,
      algorithm: key.algorithm,
      pemCrc32c: String(crc32c(Buffer.from(pem))),
      name,
      protectionLevel: 'HSM',
    }
    return { status: 200, body: answered }
  }
  const { digest, digestCrc32c, data, dataCrc32c } = body as {
    digest?: Record<string, string>
    digestCrc32c?: string
    data?: string
    dataCrc32c?: string
  }
  const text = key.member === 'data' ? data : digest?.[key.member]
  if (text === undefined) {
    return refusal(400, 'INVALID_ARGUMENT', `Wrong digest type: the key signs ${key.member}.`)
  }
  const input = Buffer.from(text, 'base64')
  const isVerified = String(crc32c(input)) === (key.member === 'data' ? dataCrc32c : digestCrc32c)
  const signature = Buffer.from(signerOf(key.pair).sign(key.signs, input))
  return {
    status: 200,
    body: {
      signature: signature.toString('base64'),
      signatureCrc32c: String(crc32c(signature)),
      [key.member === 'data' ? 'verifiedDataCrc32c' : 'verifiedDigestCrc32c']: isVerified,
      name,
      protectionLevel: 'HSM',
    },
  }
}

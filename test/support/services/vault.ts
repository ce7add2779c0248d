// Vault's Transit engine and AppRole: /v1/transit/keys/:name, /v1/transit/sign/:name/:hash, /v1/auth/approle/login.
import type { SignatureAlgorithm } from '@latchkey/keys'
import { type Answered, type Asked, type PairName, publicKeyOf, Service, signerOf } from './service.ts'

const TYPES: Readonly<Record<PairName, string>> = {
  p256: 'ecdsa-p256',
  p384: 'ecdsa-p384',
  rsa: 'rsa-2048',
  ed25519: 'ed25519',
}
export const ROLE = { role_id: 'a-role', secret_id: 'a-secret' }

export interface VaultService {
  readonly service: Service
  /** Tokens that are valid now. */
  readonly tokens: Set<string>
  logins: number
}

export async function startVault(tls?: {
  readonly cert: string
  readonly key: string
}): Promise<VaultService> {
  const tokens = new Set(['root-token'])
  const vault = {
    tokens,
    logins: 0,
    service: await Service.start({
      ...(tls === undefined ? {} : { tls }),
      isFaulty: ({ path }) => path.startsWith('/v1/transit/sign/'),
      answer: (asked) => {
        if (asked.path === '/v1/auth/approle/login') return logIn(asked)
        if (!tokens.has(String(asked.headers['x-vault-token']))) return vaultFault(403, 'permission denied')
        return answer(asked)
      },
    }),
  }
  function logIn({ body }: Asked): Answered {
    if (body['role_id'] !== ROLE.role_id || body['secret_id'] !== ROLE.secret_id) {
      return vaultFault(400, 'invalid role or secret ID')
    }
    const token = `approle-${++vault.logins}`
    tokens.add(token)
    return { status: 200, body: { auth: { client_token: token, lease_duration: 3600, renewable: true } } }
  }
  return vault
}

export function vaultFault(status: number, error: string, headers = {}): Answered {
  return { status, headers, body: { errors: [error] } }
}

function answer({ method, path, body }: Asked): Answered {
  const [, kind, name = '', hash] = /^\/v1\/transit\/(keys|sign)\/([\w-]+)(?:\/([\w-]+))?$/.exec(path) ?? []
  const pair = name as PairName
  if (kind === undefined || !(pair in TYPES)) return { status: 404, body: { errors: [] } }
  if (kind === 'keys' && method === 'GET') {
    const key = publicKeyOf(pair)
    const text =
      pair === 'ed25519'
        ? key.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64')
        : key.export({ type: 'spki', format: 'pem' })
    const versions = { 1: { public_key: text, creation_time: '2026-11-01T00:00:00Z', name: TYPES[pair] } }
    return {
      status: 200,
      body: { data: { name, type: TYPES[pair], latest_version: 1, supports_signing: true, keys: versions } },
    }
  }
  if (body['key_version'] !== 1) return vaultFault(400, 'cannot sign with this key version')
  const algorithm = algorithmOf(pair, hash, body)
  if (algorithm === undefined) return vaultFault(400, `unsupported for key type ${TYPES[pair]}`)
  const input = Buffer.from(String(body['input']), 'base64')
  const signature = Buffer.from(signerOf(pair).sign(algorithm, input)).toString('base64')
  return { status: 200, body: { data: { signature: `vault:v1:${signature}`, key_version: 1 } } }
}

function algorithmOf(
  pair: PairName,
  hash: string | undefined,
  body: Readonly<Record<string, unknown>>,
): SignatureAlgorithm | undefined {
  if (pair === 'ed25519') return hash === undefined && body['prehashed'] !== true ? 'ed25519' : undefined
  if (body['prehashed'] !== true || hash === undefined) return undefined
  const short = hash.replace('sha2-', 'sha')
  if (pair !== 'rsa') {
    return body['marshaling_algorithm'] === 'asn1' ? (`ecdsa_${short}` as SignatureAlgorithm) : undefined
  }
  if (body['signature_algorithm'] === 'pkcs1v15') return `rsa_pkcs1_${short}` as SignatureAlgorithm
  return body['signature_algorithm'] === 'pss' && body['salt_length'] === 'hash'
    ? (`rsa_pss_${short}` as SignatureAlgorithm)
    : undefined
}

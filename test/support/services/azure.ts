// Azure Key Vault: keys/{name}/{version} and its sign, with the challenge that comes first, and the token endpoint of Entra.
import { createDefaultHttpClient, type HttpClient } from '@azure/core-rest-pipeline'
import type { SignatureAlgorithm } from '@latchkey/keys'
import { ecdsaFromDer } from '@latchkey/keys/driver'
import { type Answered, type Asked, type PairName, publicKeyOf, Service, signerOf } from './service.ts'

export const VERSION = '0123456789abcdef0123456789abcdef'
export const TENANT = '11111111-2222-3333-4444-555555555555'
export const CLIENT = { id: 'a-client', secret: 'a-secret' }
const TOKEN = 'a-token'

const ALGORITHMS: Readonly<Record<string, readonly [PairName, SignatureAlgorithm]>> = {
  ES256: ['p256', 'ecdsa_sha256'],
  ES384: ['p384', 'ecdsa_sha384'],
  RS256: ['rsa', 'rsa_pkcs1_sha256'],
  RS384: ['rsa', 'rsa_pkcs1_sha384'],
  RS512: ['rsa', 'rsa_pkcs1_sha512'],
  PS256: ['rsa', 'rsa_pss_sha256'],
  PS384: ['rsa', 'rsa_pss_sha384'],
  PS512: ['rsa', 'rsa_pss_sha512'],
}

export interface AzureService {
  readonly service: Service
  /** The SDK's own, for which every host is this service. */
  readonly httpClient: HttpClient
}

export async function startAzure(tls: {
  readonly cert: string
  readonly key: string
  readonly ca: string
}): Promise<AzureService> {
  const service = await Service.start({ tls, isFaulty: ({ path }) => path.includes('/sign?'), answer })
  const own = createDefaultHttpClient()
  return {
    service,
    httpClient: {
      sendRequest: async (request) => {
        const { url, tlsSettings } = request
        const there = new URL(url)
        request.headers.set('x-host', there.host)
        there.host = `127.0.0.1:${service.port}`
        request.url = there.href
        request.tlsSettings = { ...tlsSettings, ca: tls.ca }
        try {
          return await own.sendRequest(request)
        } finally {
          request.url = url // the SDK looks at it again
        }
      },
    },
  }
}

export function azureFault(
  status: number,
  code: string,
  message: string,
  inner?: string,
  headers = {},
): Answered {
  const error = { code, message, ...(inner === undefined ? {} : { innererror: { code: inner } }) }
  return { status, headers, body: { error } }
}

function answer(asked: Asked): Answered {
  const host = String(asked.headers['x-host'])
  if (host === 'login.microsoftonline.com') return entra(asked)
  const path = asked.path.split('?')[0] ?? ''
  if (asked.headers.authorization !== `Bearer ${TOKEN}`) {
    const resource = host.endsWith('managedhsm.azure.net')
      ? 'https://managedhsm.azure.net'
      : 'https://vault.azure.net'
    const challenge = `Bearer authorization="https://login.microsoftonline.com/${TENANT}", resource="${resource}"`
    return azureFault(401, 'Unauthorized', 'no token', undefined, { 'www-authenticate': challenge })
  }
  const [, name = '', version, action] = /^\/keys\/([\w-]+)(?:\/([0-9a-f]*))?(\/sign)?$/.exec(path) ?? []
  const disabled = name === 'disabled'
  const pair = (disabled ? 'p256' : name) as PairName
  const kid = `https://${host}/keys/${name}/${VERSION}`
  if (
    !['p256', 'p384', 'rsa'].includes(pair) ||
    (version !== undefined && version !== '' && version !== VERSION)
  ) {
    return azureFault(404, 'KeyNotFound', `A key with (name/id) ${name} was not found in this key vault.`)
  }
  if (action === undefined) {
    const { kty, crv, x, y, n, e } = publicKeyOf(pair).export({ format: 'jwk' })
    const key = { kid, kty: `${String(kty)}-HSM`, crv, x, y, n, e, key_ops: ['sign', 'verify'] }
    return { status: 200, body: { key, attributes: { enabled: !disabled, created: 1, updated: 1 } } }
  }
  const { alg, value } = asked.body as Record<string, string>
  const [home, algorithm] = ALGORITHMS[alg ?? ''] ?? []
  if (home !== pair || algorithm === undefined) {
    return azureFault(400, 'BadParameter', `Key and signing algorithm ${alg} are incompatible.`)
  }
  const signature = signerOf(pair).sign(algorithm, Buffer.from(value ?? '', 'base64url'))
  const orderBytes = { p256: 32, p384: 48 }[pair as 'p256' | 'p384'] as number | undefined
  const bytes = orderBytes === undefined ? signature : ecdsaFromDer(signature, orderBytes)
  return { status: 200, body: { kid, value: Buffer.from(bytes).toString('base64url') } }
}

function entra({ method, path, body }: Asked): Answered {
  const authority = `https://login.microsoftonline.com/${TENANT}`
  if (path.startsWith('/common/discovery/instance')) {
    const metadata = {
      preferred_network: 'login.microsoftonline.com',
      preferred_cache: 'login.windows.net',
      aliases: ['login.microsoftonline.com'],
    }
    const endpoint = `${authority}/v2.0/.well-known/openid-configuration`
    return {
      status: 200,
      body: { tenant_discovery_endpoint: endpoint, 'api-version': '1.1', metadata: [metadata] },
    }
  }
  if (method === 'GET') {
    const endpoints = {
      token_endpoint: `${authority}/oauth2/v2.0/token`,
      authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
      end_session_endpoint: `${authority}/logout`,
      issuer: `${authority}/v2.0`,
      jwks_uri: `${authority}/keys`,
    }
    return { status: 200, body: endpoints }
  }
  if (body['client_id'] !== CLIENT.id || body['client_secret'] !== CLIENT.secret) {
    return {
      status: 401,
      body: { error: 'invalid_client', error_description: 'AADSTS7000215: Invalid client secret provided.' },
    }
  }
  return {
    status: 200,
    body: { token_type: 'Bearer', expires_in: 3600, ext_expires_in: 3600, access_token: TOKEN },
  }
}

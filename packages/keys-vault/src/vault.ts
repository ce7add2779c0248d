// The Transit engine of Vault and OpenBao: how a key is found there and what it signs.
// https://developer.hashicorp.com/vault/api-docs/secret/transit
import { createPublicKey, type KeyObject } from 'node:crypto'
import { KeysError, type SignatureAlgorithm, SIGNATURE_ALGORITHMS } from '@latchkey/keys'
import {
  ecdsaInput,
  isPss,
  ORDER_BYTES,
  type RemoteCalls,
  type RemoteHome,
  type RemoteService,
} from '@latchkey/keys/driver'
import { networkError, refusal } from './errors.ts'
import { HttpClient } from './http-client.ts'
import { readVaultKeyName, type VaultKeyName } from './key-name.ts'
import { VaultLogin } from './login.ts'

/** RFC 8410 §4: SubjectPublicKeyInfo of Ed25519 up to the key. */
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex')
const ED25519_BYTES = 32
const HASHES: Readonly<Record<string, string>> = {
  sha1: 'sha1',
  sha224: 'sha2-224',
  sha256: 'sha2-256',
  sha384: 'sha2-384',
  sha512: 'sha2-512',
}
/** Of a digest that is as long as the order. */
const HASH_BY_BYTES: Readonly<Record<number, string>> = { 32: 'sha2-256', 48: 'sha2-384', 64: 'sha2-512' }
const RSA: readonly SignatureAlgorithm[] = [
  'rsa_pkcs1_sha1',
  'rsa_pkcs1_sha224',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
  'rsa_pss_sha256',
  'rsa_pss_sha384',
  'rsa_pss_sha512',
]
const ECDSA = ['ecdsa_sha1', 'ecdsa_sha224', 'ecdsa_sha256', 'ecdsa_sha384', 'ecdsa_sha512'] as const

interface KeyAnswer {
  readonly type?: string
  readonly latest_version?: number
  readonly supports_signing?: boolean
  readonly keys?: Readonly<Record<string, { readonly public_key?: string }>>
}

/** @param env `VAULT_ADDR`, `VAULT_CACERT`, `VAULT_NAMESPACE`, and who we are: see {@link VaultLogin}. */
export function vaultService(env: NodeJS.ProcessEnv): RemoteService<VaultKeyName> {
  const http = new HttpClient(env['VAULT_ADDR'] ?? 'https://127.0.0.1:8200', said(env['VAULT_CACERT']))
  const login = new VaultLogin(http, env)

  async function ask<T>(
    calls: RemoteCalls,
    method: 'GET' | 'POST',
    path: string,
    signal: AbortSignal,
    body?: object,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const answer = await toVault(calls, async () =>
        http.ask({
          method,
          path,
          headers: await login.headers(signal),
          signal,
          ...(body === undefined ? {} : { body }),
        }),
      )
      if (answer.status === 403 && attempt === 1 && login.forget()) continue // the token may have been revoked
      if (answer.status !== 200) throw refusal(answer, calls.source)
      const { data } = (answer.body ?? {}) as { data?: T }
      if (typeof data === 'object' && data !== null) return data
      throw new KeysError('ERR_KEYS_REPLY', {
        path: calls.source,
        detail: 'an answer that is not JSON, or has no data',
      })
    }
  }

  return {
    defaults: { maxInFlight: 32, maxPerSecond: Infinity, timeoutMs: 5000 },
    readUri: readVaultKeyName,
    sourceOf: ({ mount, name, version }) =>
      `vault:${mount}/keys/${name}${version === undefined ? '' : `#${version}`}`,
    open: async ({ mount, name, version }, calls) => {
      const found = await calls.run('find', (signal) =>
        ask<KeyAnswer>(calls, 'GET', `${mount}/keys/${name}`, signal),
      )
      if (found.supports_signing === false) {
        throw new KeysError('ERR_KEYS_UNSUPPORTED', {
          path: calls.source,
          found: `a key of type ${String(found.type)}`,
        })
      }
      const number = version ?? found.latest_version ?? 0
      const text = found.keys?.[String(number)]?.public_key
      if (typeof text !== 'string') {
        throw new KeysError('ERR_KEYS_NOT_FOUND', {
          path: calls.source,
          detail: `the key has no version ${number}`,
          hint: `its versions: ${Object.keys(found.keys ?? {}).join(', ')}`,
        })
      }
      const sign = async (path: string, body: object, signal: AbortSignal): Promise<Uint8Array> => {
        const question = { ...body, key_version: number }
        const { signature } = await ask<{ signature?: unknown }>(
          calls,
          'POST',
          `${mount}/sign/${name}${path}`,
          signal,
          question,
        )
        // vault:v<version>:<base64>
        const [, , base64] = typeof signature === 'string' ? signature.split(':') : []
        if (base64 === undefined || !String(signature).startsWith(`vault:v${number}:`)) {
          throw new KeysError('ERR_KEYS_REPLY', {
            path: calls.source,
            detail: 'an answer without a signature of this version',
          })
        }
        return new Uint8Array(Buffer.from(base64, 'base64'))
      }
      return homeOf(publicKeyOf(text, calls), sign)
    },
    close: () => http.close(),
  }
}

function homeOf(
  publicKey: KeyObject,
  sign: (path: string, body: object, signal: AbortSignal) => Promise<Uint8Array>,
): RemoteHome {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  if (publicKey.asymmetricKeyType === 'ed25519') {
    return {
      publicKey,
      algorithms: ['ed25519'],
      sign: (_algorithm, message, signal) => sign('', { input: base64(message) }, signal),
    }
  }
  if (publicKey.asymmetricKeyType === 'rsa') {
    return {
      publicKey,
      algorithms: RSA,
      sign: (algorithm, digest, signal) => {
        const { hash } = SIGNATURE_ALGORITHMS[algorithm]
        const padding = isPss(algorithm)
          ? { signature_algorithm: 'pss', salt_length: 'hash' }
          : { signature_algorithm: 'pkcs1v15' }
        const body = { input: base64(digest), prehashed: true, ...padding }
        return sign(`/${HASHES[hash as string] as string}`, body, signal)
      },
    }
  }
  const orderBytes = ORDER_BYTES[publicKey.asymmetricKeyDetails?.namedCurve ?? ''] ?? 0
  return {
    publicKey,
    algorithms: ECDSA,
    sign: (_algorithm, digest, signal) => {
      const input = ecdsaInput(digest, orderBytes)
      const body = { input: base64(input), prehashed: true, marshaling_algorithm: 'asn1' }
      return sign(`/${HASH_BY_BYTES[input.length] as string}`, body, signal)
    },
  }
}

/** PEM, and of Ed25519 the bare key in base64. */
function publicKeyOf(text: string, { source }: RemoteCalls): KeyObject {
  try {
    if (text.includes('-----BEGIN')) return createPublicKey(text)
    const bytes = Buffer.from(text, 'base64')
    if (bytes.length !== ED25519_BYTES) throw new RangeError(`${bytes.length} bytes`)
    return createPublicKey({ key: Buffer.concat([ED25519_SPKI, bytes]), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new KeysError('ERR_KEYS_REPLY', { path: source, detail: 'a public key that cannot be read', cause })
  }
}

async function toVault<T>({ source }: RemoteCalls, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (cause) {
    throw networkError(cause, source)
  }
}

function said(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}

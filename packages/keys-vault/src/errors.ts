// What Vault answers when it does not sign, as an operator should read it.
// https://developer.hashicorp.com/vault/api-docs#http-status-codes
import { KeysError, type KeysErrorCode } from '@latchkey/keys'
import { retryAfterMs } from '@latchkey/keys/driver'
import type { Answer } from './http-client.ts'

const BY_STATUS: ReadonlyMap<number, readonly [KeysErrorCode, hint?: string]> = new Map([
  [307, ['ERR_KEYS_UNAVAILABLE', 'a standby that points to another node: use the address of the cluster']],
  [400, ['ERR_KEYS_ALGORITHM']],
  [
    403,
    [
      'ERR_KEYS_DENIED',
      'the token needs read on <mount>/keys/<name> and update on <mount>/sign/<name>/*; or it has expired',
    ],
  ],
  [404, ['ERR_KEYS_NOT_FOUND', 'check the mount, the name and VAULT_NAMESPACE']],
  [429, ['ERR_KEYS_BUSY', 'a quota of Vault: set max_per_second']],
  [473, ['ERR_KEYS_UNAVAILABLE', 'a performance standby: use the address of the cluster']],
  [503, ['ERR_KEYS_UNAVAILABLE', 'Vault is sealed or in maintenance: unseal it']],
])

export function refusal({ status, retryAfter, body }: Answer, source: string): KeysError {
  const [code, hint] = BY_STATUS.get(status) ?? [status >= 500 ? 'ERR_KEYS_UNAVAILABLE' : 'ERR_KEYS_REPLY']
  return new KeysError(code, {
    path: source,
    detail: [`HTTP ${status}`, ...errorsIn(body)].join(', '),
    hint,
    retryAfterMs: retryAfterMs(retryAfter),
  })
}

export function networkError(cause: unknown, source: string): KeysError {
  if (cause instanceof KeysError) {
    const { code, detail } = cause
    return cause.path === undefined ? new KeysError(code, { path: source, detail, cause }) : cause
  }
  const { code, message } = cause as NodeJS.ErrnoException
  return new KeysError('ERR_KEYS_UNAVAILABLE', {
    path: source,
    detail: [code, message].filter((part) => part !== undefined && part !== '').join(' '),
    hint: /certificate|self.signed/i.test(message) ? 'name the CA of Vault with VAULT_CACERT' : undefined,
    cause,
  })
}

const MAX_TEXT = 200

function errorsIn(body: unknown): string[] {
  const { errors } = (typeof body === 'object' && body !== null ? body : {}) as { errors?: unknown }
  return Array.isArray(errors)
    ? errors.filter((each): each is string => typeof each === 'string').map((each) => each.slice(0, MAX_TEXT))
    : []
}

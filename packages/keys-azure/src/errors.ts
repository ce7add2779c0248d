// What Azure answers when it does not sign, as an operator should read it.
import { KeysError, type KeysErrorCode } from '@latchkey/keys'
import { retryAfterMs } from '@latchkey/keys/driver'
import type { RestError } from '@azure/core-rest-pipeline'

const BY_STATUS: ReadonlyMap<number, readonly [KeysErrorCode, hint?: string]> = new Map([
  [400, ['ERR_KEYS_ALGORITHM']],
  [
    401,
    ['ERR_KEYS_DENIED', 'check AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret, or the managed identity'],
  ],
  [
    403,
    [
      'ERR_KEYS_DENIED',
      'grant keys/read and keys/sign: "Key Vault Crypto User" or "Managed HSM Crypto User"; or the network of this machine is not allowed',
    ],
  ],
  [404, ['ERR_KEYS_NOT_FOUND', 'check the names of vault, key and version']],
  [408, ['ERR_KEYS_UNAVAILABLE']],
  [
    429,
    [
      'ERR_KEYS_BUSY',
      'a vault does 2,000 operations in 10 s: set max_per_second, prefer ECDSA, spread keys over vaults',
    ],
  ],
])
/** How a 403 says it; the SDK does not hand on its `innererror`. */
const DISABLED = /\bdisabled\b|\bexpired\b|not yet valid/i

export function azureError(cause: unknown, source: string): KeysError {
  if (cause instanceof KeysError) return cause
  const error = cause as Partial<RestError> & Error
  const { statusCode, code, name } = error
  if (/Credential|Authentication/.test(name)) {
    return new KeysError('ERR_KEYS_DENIED', {
      path: source,
      detail: `no token: ${firstLine(error.message)}`,
      hint: 'set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, AZURE_AUTH_LOCATION, or give this machine an identity',
      cause,
    })
  }
  if (statusCode === undefined || code === 'PARSE_ERROR' || statusCode < 400) {
    const isReply = code === 'PARSE_ERROR' || (statusCode !== undefined && statusCode < 400)
    return new KeysError(isReply ? 'ERR_KEYS_REPLY' : 'ERR_KEYS_UNAVAILABLE', {
      path: source,
      detail: [code, firstLine(error.message)].filter(Boolean).join(' '),
      cause,
    })
  }
  const [known, hint] = BY_STATUS.get(statusCode) ?? [
    statusCode >= 500 ? 'ERR_KEYS_UNAVAILABLE' : 'ERR_KEYS_CRYPTO',
  ]
  const isDisabled = statusCode === 403 && DISABLED.test(error.message)
  return new KeysError(isDisabled ? 'ERR_KEYS_DISABLED' : known, {
    path: source,
    detail: [`HTTP ${statusCode}`, code, firstLine(error.message)].filter(Boolean).join(', '),
    hint: isDisabled ? 'enable the key, or mend its dates' : hint,
    retryAfterMs: retryAfterMs(error.response?.headers.get('retry-after')),
    cause,
  })
}

const MAX_TEXT = 200

function firstLine(text: string | undefined): string {
  return text?.split('\n')[0]?.slice(0, MAX_TEXT) ?? ''
}

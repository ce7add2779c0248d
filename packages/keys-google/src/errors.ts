// What Google answers when it does not sign, as an operator should read it.
import { KeysError, type KeysErrorCode } from '@latchkey/keys'
import { retryAfterMs } from '@latchkey/keys/driver'

/** https://cloud.google.com/apis/design/errors */
const BY_STATUS: ReadonlyMap<number, readonly [KeysErrorCode, hint?: string]> = new Map([
  [400, ['ERR_KEYS_ALGORITHM']],
  [401, ['ERR_KEYS_DENIED', 'check GOOGLE_APPLICATION_CREDENTIALS, or the service account of this machine']],
  [403, ['ERR_KEYS_DENIED', 'grant roles/cloudkms.signerVerifier on the key, and enable the Cloud KMS API']],
  [404, ['ERR_KEYS_NOT_FOUND', 'check project, location, key ring, key and version']],
  [429, ['ERR_KEYS_BUSY', 'the quota of the project is used up: set max_per_second, or ask for more']],
])

interface Answer {
  readonly status?: number
  readonly headers?: { get?(name: string): string | null } & Readonly<Record<string, unknown>>
  readonly data?: unknown
}

export function googleError(cause: unknown, source: string): KeysError {
  if (cause instanceof KeysError) return cause
  const error = cause as Error & { readonly response?: Answer; readonly code?: unknown }
  const { response } = error
  const status = response?.status
  if (status === undefined) {
    // Raised by the auth library, before anything was sent.
    const isCredential = /credential|Could not load|private_key|invalid_grant|JWT|PEM|DECODER/i.test(
      error.message,
    )
    return new KeysError(isCredential ? 'ERR_KEYS_DENIED' : 'ERR_KEYS_UNAVAILABLE', {
      path: source,
      detail: firstLine(error.message),
      hint: isCredential ? BY_STATUS.get(401)?.[1] : undefined,
      cause,
    })
  }
  const said = saidIn(response?.data)
  const [known, hint] = BY_STATUS.get(status) ?? [status >= 500 ? 'ERR_KEYS_UNAVAILABLE' : 'ERR_KEYS_REPLY']
  const isDisabled = status === 400 && said.status === 'FAILED_PRECONDITION'
  return new KeysError(isDisabled ? 'ERR_KEYS_DISABLED' : known, {
    path: source,
    detail: [`HTTP ${status}`, said.status, said.message].filter((part) => part !== undefined).join(', '),
    hint: isDisabled ? 'enable the key version, or name another one' : hint,
    retryAfterMs: retryAfterMs(response?.headers?.get?.('retry-after')),
    cause,
  })
}

function saidIn(data: unknown): {
  readonly status?: string | undefined
  readonly message?: string | undefined
} {
  const { error } = (typeof data === 'object' && data !== null ? data : {}) as {
    error?: { status?: string; message?: string }
  }
  return {
    status: error?.status,
    message: error?.message === undefined ? undefined : firstLine(error.message),
  }
}

const MAX_TEXT = 200

function firstLine(text: string): string {
  return text.split('\n')[0]?.slice(0, MAX_TEXT) ?? ''
}

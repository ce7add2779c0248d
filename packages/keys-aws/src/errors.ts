// What AWS answers when it does not sign, as an operator should read it.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html#API_Sign_Errors
import { KeysError, type KeysErrorCode } from '@latchkey/keys'
import { retryAfterMs } from '@latchkey/keys/driver'

const CREDENTIALS =
  'check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile, or the role of this machine'
const BY_NAME: ReadonlyMap<string, readonly [KeysErrorCode, hint?: string]> = new Map([
  ['AccessDeniedException', ['ERR_KEYS_DENIED', 'allow kms:GetPublicKey and kms:Sign in the key policy']],
  ['UnrecognizedClientException', ['ERR_KEYS_DENIED', CREDENTIALS]],
  [
    'InvalidSignatureException',
    ['ERR_KEYS_DENIED', `${CREDENTIALS}; the clock of this machine must be right`],
  ],
  ['InvalidClientTokenId', ['ERR_KEYS_DENIED', CREDENTIALS]],
  ['ExpiredTokenException', ['ERR_KEYS_DENIED', CREDENTIALS]],
  ['CredentialsProviderError', ['ERR_KEYS_DENIED', CREDENTIALS]],
  ['TokenProviderError', ['ERR_KEYS_DENIED', CREDENTIALS]],
  ['NotFoundException', ['ERR_KEYS_NOT_FOUND', 'check the region, the account and the id of the key']],
  ['InvalidArnException', ['ERR_KEYS_URI']],
  ['DisabledException', ['ERR_KEYS_DISABLED', 'enable the key']],
  ['KMSInvalidStateException', ['ERR_KEYS_DISABLED', 'the key is being deleted, imported or replicated']],
  ['InvalidKeyUsageException', ['ERR_KEYS_ALGORITHM', 'the key must be made for SIGN_VERIFY']],
  ['UnsupportedOperationException', ['ERR_KEYS_ALGORITHM']],
  ['ValidationException', ['ERR_KEYS_ALGORITHM']],
  ['ThrottlingException', ['ERR_KEYS_BUSY', 'set max_per_second, prefer ECDSA, or ask for a higher quota']],
  ['LimitExceededException', ['ERR_KEYS_BUSY']],
  ['KeyUnavailableException', ['ERR_KEYS_UNAVAILABLE']],
  ['DependencyTimeoutException', ['ERR_KEYS_UNAVAILABLE']],
  ['KMSInternalException', ['ERR_KEYS_UNAVAILABLE']],
  ['SyntaxError', ['ERR_KEYS_REPLY']],
])

interface SdkError extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number }
  readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> }
}

export function awsError(cause: unknown, source: string): KeysError {
  if (cause instanceof KeysError) return cause
  const error = cause as SdkError
  const status = error.$metadata?.httpStatusCode ?? error.$response?.statusCode
  const [code, hint] = BY_NAME.get(error.name) ?? [byStatus(status)]
  const regionHint = /region is missing/i.test(error.message)
    ? 'add ?region=<region>, or set AWS_REGION'
    : undefined
  return new KeysError(regionHint === undefined ? code : 'ERR_KEYS_URI', {
    path: source,
    detail: [status === undefined ? undefined : `HTTP ${status}`, error.name, firstLine(error.message)]
      .filter((part) => part !== undefined && part !== '')
      .join(', '),
    hint: regionHint ?? hint,
    retryAfterMs: retryAfterMs(error.$response?.headers?.['retry-after']),
    cause,
  })
}

function byStatus(status: number | undefined): KeysErrorCode {
  if (status === undefined || status >= 500) return 'ERR_KEYS_UNAVAILABLE'
  if (status === 429) return 'ERR_KEYS_BUSY'
  if (status === 401 || status === 403) return 'ERR_KEYS_DENIED'
  if (status === 404) return 'ERR_KEYS_NOT_FOUND'
  return status >= 400 ? 'ERR_KEYS_CRYPTO' : 'ERR_KEYS_REPLY'
}

const MAX_TEXT = 200

function firstLine(text: string): string {
  return text.split('\n')[0]?.slice(0, MAX_TEXT) ?? ''
}

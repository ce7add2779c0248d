// Every way a key server cannot be started or reloaded.
import { CodedError, type ErrorDetail } from '@latchkey/core'

export const KEYSERVER_ERRORS = {
  ERR_KEYSERVER_CERTIFICATE: 'the server certificate and its key cannot be used',
  ERR_KEYSERVER_CA: 'the CA bundle for client certificates cannot be used',
  ERR_KEYSERVER_SEAL_SECRET: 'the secrets for sealing cannot be used',
  ERR_KEYSERVER_LISTEN: 'the address cannot be listened on',
} as const satisfies Record<string, string>
export type KeyServerErrorCode = keyof typeof KEYSERVER_ERRORS

/** A key server that cannot start or take new certificates; what clients are told is in `@latchkey/wire`. */
export class KeyServerError extends CodedError<KeyServerErrorCode> {
  constructor(code: KeyServerErrorCode, options?: ErrorDetail) {
    super(code, KEYSERVER_ERRORS[code], options)
  }
}

// What can go wrong between a caller and the key server's answer. What the key server itself answers is KeylessError.
import { CodedError, type ErrorDetail } from '@latchkey/core'

/** One row an error. `mayRetry`: whether the same request may well succeed at another key server, or here later. */
export const CLIENT_ERRORS = {
  ERR_CLIENT_CONNECT: { mayRetry: true, text: 'the key server cannot be reached' },
  ERR_CLIENT_TRANSPORT: {
    mayRetry: true,
    text: 'the connection to the key server was lost before the answer',
  },
  ERR_CLIENT_TIMEOUT: { mayRetry: true, text: 'the key server did not answer in time' },
  ERR_CLIENT_OVERLOADED: { mayRetry: true, text: 'too many requests are waiting for the key server' },
  ERR_CLIENT_ABORTED: { mayRetry: false, text: 'the request was given up by its caller' },
  ERR_CLIENT_CLOSED: { mayRetry: false, text: 'the client has been closed' },
  ERR_CLIENT_UNKNOWN_KEY: { mayRetry: false, text: 'no key server key is known for the certificate' },
  ERR_CLIENT_SCHEME: { mayRetry: false, text: 'the protocol cannot name this signature scheme' },
} as const satisfies Record<string, { mayRetry: boolean; text: string }>

export type ClientErrorCode = keyof typeof CLIENT_ERRORS

/** A request that got no answer from a key server. */
export class ClientError extends CodedError<ClientErrorCode> {
  constructor(code: ClientErrorCode, options?: ErrorDetail) {
    super(code, CLIENT_ERRORS[code].text, options)
  }

  get mayRetry(): boolean {
    return CLIENT_ERRORS[this.code].mayRetry
  }
}

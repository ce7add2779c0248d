// Every way a TLS connection can fail: one row gives the code, the alert the peer sees and the text for the operator.
import { CodedError, type ErrorDetail } from '@latchkey/core'
import type { AlertName } from './alert.ts'

/** `alert: undefined`: nothing is sent, because the peer has gone or has already told us. */
export const TLS_ERRORS = {
  ERR_TLS_DECODE: { alert: 'decode_error', text: 'malformed message' },
  ERR_TLS_ILLEGAL_PARAMETER: { alert: 'illegal_parameter', text: 'a field has a value that is not allowed' },
  ERR_TLS_UNEXPECTED_MESSAGE: { alert: 'unexpected_message', text: 'message not allowed in this state' },
  ERR_TLS_RECORD_OVERFLOW: { alert: 'record_overflow', text: 'record longer than allowed' },
  ERR_TLS_BAD_RECORD_MAC: { alert: 'bad_record_mac', text: 'record failed authentication' },
  ERR_TLS_DECRYPT: { alert: 'decrypt_error', text: 'a handshake check value is wrong' },
  ERR_TLS_MISSING_EXTENSION: { alert: 'missing_extension', text: 'a mandatory extension is missing' },
  ERR_TLS_PROTOCOL_VERSION: { alert: 'protocol_version', text: 'no TLS version in common' },
  ERR_TLS_HANDSHAKE_FAILURE: { alert: 'handshake_failure', text: 'nothing acceptable in common' },
  ERR_TLS_NO_RENEGOTIATION: { alert: 'no_renegotiation', text: 'there is no renegotiation' },
  ERR_TLS_KEYS_WORN: {
    alert: 'close_notify',
    text: 'as many records were sent as one key of TLS 1.2 may protect',
  },
  ERR_TLS_INAPPROPRIATE_FALLBACK: {
    alert: 'inappropriate_fallback',
    text: 'the client fell back to a lower version than both support',
  },
  ERR_TLS_UNRECOGNIZED_NAME: { alert: 'unrecognized_name', text: 'no certificate for this server name' },
  ERR_TLS_NO_APPLICATION_PROTOCOL: {
    alert: 'no_application_protocol',
    text: 'no application protocol in common',
  },
  ERR_TLS_UNSUPPORTED_EXTENSION: {
    alert: 'unsupported_extension',
    text: 'an extension that answers nothing we asked',
  },
  ERR_TLS_CERTIFICATE_REQUIRED: { alert: 'certificate_required', text: 'the client has no certificate' },
  ERR_TLS_BAD_CERTIFICATE: { alert: 'bad_certificate', text: 'a client certificate is wrong' },
  ERR_TLS_UNSUPPORTED_CERTIFICATE: {
    alert: 'unsupported_certificate',
    text: 'a client certificate is of a kind that is not taken',
  },
  ERR_TLS_CERTIFICATE_EXPIRED: {
    alert: 'certificate_expired',
    text: 'a client certificate is not valid now',
  },
  ERR_TLS_UNKNOWN_CA: { alert: 'unknown_ca', text: 'a client certificate from a CA that is not trusted' },
  ERR_TLS_CERTIFICATE_UNKNOWN: {
    alert: 'certificate_unknown',
    text: 'a client certificate is not acceptable',
  },
  ERR_TLS_ACCESS_DENIED: { alert: 'access_denied', text: 'the client may not come in' },
  ERR_TLS_SIGNER: { alert: 'internal_error', text: 'the signer failed' },
  ERR_TLS_SIGNER_TIMEOUT: { alert: 'internal_error', text: 'the signer did not answer in time' },
  ERR_TLS_SIGNER_WRONG: {
    alert: 'internal_error',
    text: 'the signer returned a signature that does not verify',
  },
  ERR_TLS_SIGNER_BUSY: { alert: 'internal_error', text: 'too many signatures are waited for' },
  ERR_TLS_INTERNAL: { alert: 'internal_error', text: 'unexpected error in the TLS engine' },
  ERR_TLS_PEER_ALERT: { alert: undefined, text: 'the client sent an alert' },
  ERR_TLS_TRUNCATED: { alert: undefined, text: 'the connection ended without close_notify' },
  ERR_TLS_TRANSPORT: { alert: undefined, text: 'the transport failed' },
  ERR_TLS_HANDSHAKE_TIMEOUT: { alert: undefined, text: 'the handshake took too long' },
  ERR_TLS_OVERLOADED: { alert: undefined, text: 'too many handshakes in progress' },
  ERR_TLS_HTTP_REQUEST: { alert: undefined, text: 'a plain HTTP request on a TLS port' },
  ERR_TLS_NOT_TLS: { alert: undefined, text: 'the first bytes are not TLS' },
  ERR_TLS_NOT_ADMITTED: { alert: 'internal_error', text: 'more handshakes than are admitted' },
  ERR_TLS_CREDENTIAL: { alert: undefined, text: 'the certificate cannot be served' },
} as const satisfies Record<string, { alert: AlertName | undefined; text: string }>

export type TlsErrorCode = keyof typeof TLS_ERRORS

/** A TLS failure. `code` decides, `alert` is what the peer was told (undefined: nothing). */
export class TlsError extends CodedError<TlsErrorCode> {
  constructor(code: TlsErrorCode, options?: ErrorDetail) {
    super(code, TLS_ERRORS[code].text, options)
  }

  get alert(): AlertName | undefined {
    return TLS_ERRORS[this.code].alert
  }
}

/** Throws the error of `code`: keeps a check on one line. */
export function refuse(code: TlsErrorCode, detail: string): never {
  throw new TlsError(code, { detail })
}

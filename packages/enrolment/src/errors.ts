// Every way an enrolment can fail.
import { CodedError, type ErrorDetail } from '@latchkey/core'

export const ENROLMENT_ERRORS = {
  ERR_ENROLMENT_UNREACHABLE: 'the enrolment endpoint cannot be reached',
  ERR_ENROLMENT_TIMEOUT: 'the enrolment endpoint did not answer in time',
  ERR_ENROLMENT_UNAVAILABLE: 'the enrolment endpoint cannot serve the request now',
  ERR_ENROLMENT_REFUSED: 'no certificate was issued',
  ERR_ENROLMENT_RESPONSE: 'the answer of the enrolment endpoint cannot be used',
  ERR_ENROLMENT_CERTIFICATE: 'the wrong certificate was issued',
  ERR_ENROLMENT_FILES: 'the new key and certificate cannot be stored',
} as const satisfies Record<string, string>
export type EnrolmentErrorCode = keyof typeof ENROLMENT_ERRORS

export interface EnrolmentErrorDetail extends ErrorDetail {
  readonly retryAfterMs?: number | undefined
}

/** An enrolment that failed; the key and certificate of before are as they were. */
export class EnrolmentError extends CodedError<EnrolmentErrorCode> {
  /** How long the endpoint asks not to be asked again, if it said. */
  readonly retryAfterMs: number | undefined

  constructor(code: EnrolmentErrorCode, options?: EnrolmentErrorDetail) {
    super(code, ENROLMENT_ERRORS[code], options)
    this.retryAfterMs = options?.retryAfterMs
  }
}

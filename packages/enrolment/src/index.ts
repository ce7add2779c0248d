// Enrolment: how a key server gets its own certificate, and a new one in time.
export {
  type CertificateRequest,
  createCertificateRequest,
  isRequestOf,
} from './certificate-request.ts'
export { enrol, type Enrolled, type EnrolOptions } from './enrol.ts'
export { ENROLMENT_ERRORS, EnrolmentError, type EnrolmentErrorCode } from './errors.ts'
export type { Credential } from './origin-ca.ts'
export { completeRequest, type PairFiles, recoverPair, stageRequest } from './pair-files.ts'
export { type Renewal, type RenewalOptions, startRenewal, type Validity } from './renewal.ts'

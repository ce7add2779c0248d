// An enrolment from a fresh key to a certificate in its file.
import { createCertificateRequest } from './certificate-request.ts'
import { checkIssuedCertificate } from './issued-certificate.ts'
import { type CertificateOrder, orderCertificate } from './origin-ca.ts'
import { completePair, discardPair, type PairFiles, stageRequest } from './pair-files.ts'

/** The API answers within a second or two; a proxy in between may need its time. */
const TIMEOUT_MS = 30_000

export interface EnrolOptions extends Omit<CertificateOrder, 'csrPem' | 'timeoutMs'> {
  readonly files: PairFiles
  /** Milliseconds since the epoch, for the validity of the certificate. */
  readonly now: () => number
  /** For the API's answer. Default: 30 s. */
  readonly timeoutMs?: number
}

export interface Enrolled {
  /** Where the key is now whose place the new one took, if no enrolment had made it. */
  readonly keptKey: string | undefined
}

/**
 * Gets a certificate for a fresh key and puts both into their files. Until both are there the old ones are.
 *
 * @throws {EnrolmentError}; what `signal` is aborted with.
 * @example
 * await enrol({ endpoint, credential, hostname: 'ks.example.com', zoneId, files, now: Date.now })
 */
export async function enrol({
  files,
  now,
  timeoutMs = TIMEOUT_MS,
  ...order
}: EnrolOptions): Promise<Enrolled> {
  const request = await createCertificateRequest(order.hostname)
  await stageRequest(files, request) // before the API is asked: a full disk shows now
  let certificatePem: string
  try {
    const answer = await orderCertificate({ ...order, csrPem: request.csrPem, timeoutMs })
    const { hostname } = order
    certificatePem = checkIssuedCertificate(answer, { ...request, hostname, now: now() })
    order.signal?.throwIfAborted()
  } catch (error) {
    discardPair(files)
    throw error
  }
  return { keptKey: await completePair(files, request, { certificatePem, now: now() }) }
}

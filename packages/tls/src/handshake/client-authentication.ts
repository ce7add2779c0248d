// How a TLS 1.3 client shows who it is, between the server's Finished and its own. RFC 8446 §4.3.2, §4.4.2, §4.4.3.
import { CERTIFICATE_VERIFY, checkCertificateVerify } from '../client-certificate/certificate-verify.ts'
import {
  authorizeClient,
  CERTIFICATE,
  readClientCertificate,
} from '../client-certificate/client-certificate.ts'
import {
  type ClientAuthentication,
  type ClientCertificatePolicy,
  notShown,
} from '../client-certificate/policy.ts'
import { refuse } from '../errors.ts'
import type { ServerContext } from '../server-context.ts'
import { TLS13 } from './protocol-version.ts'
import { certificateVerifyContent } from './server-messages.ts'
import { type Steps, wantMessage } from './steps.ts'
import type { Transcript } from './transcript.ts'

/** Certificate and, unless it is empty, CertificateVerify. */
export function* receiveClientAuthentication(
  { clock }: ServerContext,
  policy: ClientCertificatePolicy,
  transcript: Transcript,
): Steps<ClientAuthentication> {
  const certificate = yield* wantMessage(CERTIFICATE)
  const chain = readClientCertificate(certificate.body)
  transcript.add(certificate.bytes)
  if (chain.length === 0) {
    if (policy.isRequired) refuse('ERR_TLS_CERTIFICATE_REQUIRED', 'an empty Certificate')
    return notShown(policy)
  }
  const { publicKey, authentication } = authorizeClient(chain, policy, clock())
  const content = certificateVerifyContent(transcript.digest(), 'client')
  const verify = yield* wantMessage({ ...CERTIFICATE_VERIFY, isFollowed: true })
  checkCertificateVerify(verify.body, { policy, publicKey, version: TLS13, content })
  transcript.add(verify.bytes)
  return authentication
}

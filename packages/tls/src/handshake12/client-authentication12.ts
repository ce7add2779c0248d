// How a TLS 1.2 client shows who it is: Certificate before its ClientKeyExchange, CertificateVerify behind it.
// RFC 5246 §7.4.6, §7.4.8.
import { CERTIFICATE_VERIFY, checkCertificateVerify } from '../client-certificate/certificate-verify.ts'
import {
  authorizeClient,
  CERTIFICATE,
  type PresentedCertificate,
  readClientCertificate12,
} from '../client-certificate/client-certificate.ts'
import type { ClientCertificatePolicy } from '../client-certificate/policy.ts'
import { refuse } from '../errors.ts'
import { TLS12 } from '../handshake/protocol-version.ts'
import { type Steps, wantMessage } from '../handshake/steps.ts'
import type { Transcript } from '../handshake/transcript.ts'
import type { ServerContext } from '../server-context.ts'

/** undefined: the client has none. */
export function* receiveCertificate12(
  { clock }: ServerContext,
  policy: ClientCertificatePolicy,
  transcript: Transcript,
): Steps<PresentedCertificate | undefined> {
  const { body, bytes } = yield* wantMessage(CERTIFICATE)
  const chain = readClientCertificate12(body)
  transcript.add(bytes)
  if (chain.length > 0) return authorizeClient(chain, policy, clock())
  // RFC 5246 §7.4.6: certificate_required is not yet there.
  if (policy.isRequired) refuse('ERR_TLS_HANDSHAKE_FAILURE', 'the client has no certificate')
  return undefined
}

/** Over all messages before it. */
export function* receiveCertificateVerify12(
  policy: ClientCertificatePolicy,
  { publicKey }: PresentedCertificate,
  transcript: Transcript,
): Steps<void> {
  const content = transcript.takeMessages()
  const { body, bytes } = yield* wantMessage(CERTIFICATE_VERIFY)
  checkCertificateVerify(body, { policy, publicKey, version: TLS12, content })
  transcript.add(bytes)
}

// The usual policy: clients with a certificate of one of our CAs.
import { validatePath } from './path-validation.ts'
import type { ClientCertificatePolicy } from './policy.ts'
import { type CaOption, readTrustAnchors } from './trust-anchors.ts'

export interface ClientCaOptions {
  /** PEM: self-signed certificates, which clients' certificates must lead to, and others that help to reach them. */
  readonly ca?: CaOption | undefined
  /** Whether clients without such a certificate are refused. Default true. */
  readonly rejectUnauthorized?: boolean | undefined
}

/**
 * As `requestCert` of `node:tls` with these options.
 *
 * @throws {TypeError} if `ca` holds no self-signed certificate; or is missing, where it alone decides who comes in.
 */
export function createClientCaPolicy({
  ca,
  rejectUnauthorized = true,
}: ClientCaOptions): ClientCertificatePolicy {
  // node:tls would trust the CAs of the Web, who certify servers.
  if (ca === undefined && rejectUnauthorized) throw new TypeError('requestCert needs ca')
  const anchors = ca === undefined ? { roots: [], intermediates: [], subjects: [] } : readTrustAnchors(ca)
  return {
    isRequired: rejectUnauthorized,
    rejectUnauthorized,
    authorities: anchors.subjects,
    verify: (chain, nowMs) => validatePath(chain, anchors, nowMs),
  }
}

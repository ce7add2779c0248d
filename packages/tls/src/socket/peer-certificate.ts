// A client's chain in the form that tls.TLSSocket.getPeerCertificate() has had since long before X509Certificate.
import type { DetailedPeerCertificate, PeerCertificate } from 'node:tls'
import { X509Certificate } from '../crypto-provider.ts'

/** @param isDetailed whether each certificate leads to the next one as `issuerCertificate`, and a root to itself. */
export function legacyPeerCertificate(
  chain: readonly Uint8Array[],
  isDetailed: boolean,
): PeerCertificate | Record<string, never> {
  const certificates = (isDetailed ? chain : chain.slice(0, 1)).map((der) => new X509Certificate(der))
  const objects = certificates.map((each) => each.toLegacyObject() as DetailedPeerCertificate)
  if (isDetailed) {
    for (const [index, certificate] of certificates.entries()) {
      const object = objects[index] as DetailedPeerCertificate
      const next = certificates[index + 1]
      if (next !== undefined && certificate.checkIssued(next))
        object.issuerCertificate = objects[index + 1] as DetailedPeerCertificate
      else if (certificate.checkIssued(certificate)) object.issuerCertificate = object
    }
  }
  return objects[0] ?? {}
}

// The CAs that client certificates may come from: parsed once, at the door.
import { X509Certificate } from '../crypto-provider.ts'
import { type Constraints, readConstraints } from './constraints.ts'
import { certificateSubject } from './certificate-fields.ts'

/** A certificate with what node:crypto does not tell of it. */
export interface Certificate {
  readonly x509: X509Certificate
  readonly constraints: Constraints
}

/** @throws {DecodeError} if its extensions cannot be read. */
export function withConstraints(x509: X509Certificate): Certificate {
  return { x509, constraints: readConstraints(x509.raw) }
}

export interface TrustAnchors {
  /** Self-signed: where a path may end. */
  readonly roots: readonly Certificate[]
  /** The rest: helps to reach a root, is not trusted for itself. */
  readonly intermediates: readonly Certificate[]
  /** DER of the subjects of all of them. */
  readonly subjects: readonly Uint8Array[]
}

/** PEM, as text or as bytes; any number of certificates each. */
export type CaOption = string | Uint8Array | readonly (string | Uint8Array)[]

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** @throws {TypeError} if something in it cannot be read, or none is self-signed: then nobody could come in. */
export function readTrustAnchors(ca: CaOption): TrustAnchors {
  const bundles = typeof ca === 'string' || ca instanceof Uint8Array ? [ca] : ca
  const certificates = bundles.flatMap((bundle) => textOf(bundle).match(PEM_CERTIFICATE) ?? []).map(readCa)
  const roots = certificates.filter(({ x509 }) => isSelfSigned(x509))
  if (roots.length === 0) throw new TypeError('ca: no self-signed certificate in it')
  return {
    roots,
    intermediates: certificates.filter((each) => !roots.includes(each)),
    subjects: certificates.map(({ x509 }) => certificateSubject(x509.raw)),
  }
}

function textOf(bundle: string | Uint8Array): string {
  return typeof bundle === 'string' ? bundle : new TextDecoder('latin1').decode(bundle)
}

function readCa(pem: string): Certificate {
  try {
    return withConstraints(new X509Certificate(pem))
  } catch (cause) {
    throw new TypeError('ca: a certificate in it cannot be read', { cause })
  }
}

/** An old root with an algorithm that OpenSSL no longer knows must not keep the others of its bundle from use. */
function isSelfSigned(x509: X509Certificate): boolean {
  try {
    // Not checkIssued: a client's own certificate that is trusted itself need not be one that may sign certificates.
    return x509.subject === x509.issuer && x509.verify(x509.publicKey)
  } catch {
    return false
  }
}

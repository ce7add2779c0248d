// The extensions of a certificate that node:crypto does not tell: critical ones, keyUsage, pathLenConstraint.
import {
  allowsDigitalSignature as allowsSignature,
  DER_TAG,
  readCertificateExtensions as extensionsOf,
  readDerElement,
  Reader,
  readInside,
} from '@latchkey/core'

/** Those of RFC 5280 §4.2.1 that whoever checks a client certificate has to understand; dotted OIDs. */
export const EXTENSION = {
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  extendedKeyUsage: '2.5.29.37',
} as const

export interface CertificateExtensions {
  /** Dotted OIDs of the extensions marked critical. */
  readonly critical: readonly string[]
  /** Whether keyUsage allows digital signatures; true if there is no keyUsage. RFC 5280 §4.2.1.3. */
  readonly allowsDigitalSignature: boolean
  /** How many CAs may follow below; undefined: any number. RFC 5280 §4.2.1.9. */
  readonly pathLength: number | undefined
}

/**
 * Reads the extensions of a certificate that OpenSSL has parsed already.
 *
 * @param der Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { … }, … }
 * @throws {DecodeError} ERR_DECODE_* if it is no certificate.
 */
export function readCertificateExtensions(der: Uint8Array): CertificateExtensions {
  const critical: string[] = []
  let allowsDigitalSignature = true
  let pathLength: number | undefined
  for (const { oid, isCritical, value } of extensionsOf(der)) {
    if (isCritical) critical.push(oid)
    if (oid === EXTENSION.keyUsage) allowsDigitalSignature = allowsSignature(value)
    if (oid === EXTENSION.basicConstraints) pathLength = readPathLength(value)
  }
  return { critical, allowsDigitalSignature, pathLength }
}

/** BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER (0..MAX) OPTIONAL } */
function readPathLength(value: Uint8Array): number | undefined {
  const reader = readInside(new Reader(value), DER_TAG.sequence)
  while (reader.left > 0) {
    const { tag, contents } = readDerElement(reader)
    // A longer integer than one octet is no limit in practice: no chain here is that long.
    if (tag === DER_TAG.integer) return contents.length === 1 ? contents[0] : undefined
  }
  return undefined
}

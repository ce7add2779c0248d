// What the extensions of a certificate allow it to be used for. RFC 5280 §4.2.1.
import {
  allowsDigitalSignature,
  DecodeError,
  DER_TAG,
  readCertificateExtensions,
  readDerElement,
  Reader,
  readInside,
  readOid,
} from '@latchkey/core'

/** Dotted OIDs of the extensions that are understood here. */
export const UNDERSTOOD = {
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  extendedKeyUsage: '2.5.29.37',
} as const

export interface Constraints {
  /** Dotted OIDs of the extensions marked critical. */
  readonly critical: readonly string[]
  /** Dotted OIDs of all extensions. */
  readonly all: readonly string[]
  /** Whether keyUsage allows digital signatures; true if there is no keyUsage. RFC 5280 §4.2.1.3. */
  readonly allowsDigitalSignature: boolean
  /** Dotted OIDs of extendedKeyUsage; undefined: any use. RFC 5280 §4.2.1.12. */
  readonly extendedKeyUsages: readonly string[] | undefined
  /** Whether it may issue certificates: cA of basicConstraints. RFC 5280 §4.2.1.9. */
  readonly isCa: boolean
  /** How many CAs may follow below; undefined: any number. */
  readonly pathLength: number | undefined
}

type BasicConstraints = Pick<Constraints, 'isCa' | 'pathLength'>
const NO_CA: BasicConstraints = { isCa: false, pathLength: undefined }

/**
 * @param der of a certificate that OpenSSL has parsed already.
 * @throws {DecodeError} ERR_DECODE_* if its extensions cannot be read.
 */
export function readConstraints(der: Uint8Array): Constraints {
  const extensions = readCertificateExtensions(der)
  const all = extensions.map(({ oid }) => oid)
  // RFC 5280 §4.2: once each. Which of two would count is nobody's to guess.
  if (new Set(all).size < all.length)
    throw new DecodeError('ERR_DECODE_UNEXPECTED', { detail: 'an extension twice' })
  const valueOf = (wanted: string): Uint8Array | undefined =>
    extensions.find(({ oid }) => oid === wanted)?.value
  const keyUsage = valueOf(UNDERSTOOD.keyUsage)
  const basicConstraints = valueOf(UNDERSTOOD.basicConstraints)
  const usages = valueOf(UNDERSTOOD.extendedKeyUsage)
  return {
    critical: extensions.filter(({ isCritical }) => isCritical).map(({ oid }) => oid),
    all,
    allowsDigitalSignature: keyUsage === undefined || allowsDigitalSignature(keyUsage),
    extendedKeyUsages: usages && readExtendedKeyUsages(usages),
    ...(basicConstraints === undefined ? NO_CA : readBasicConstraints(basicConstraints)),
  }
}

/** ExtKeyUsageSyntax ::= SEQUENCE SIZE (1..MAX) OF KeyPurposeId */
function readExtendedKeyUsages(value: Uint8Array): string[] {
  const reader = readInside(new Reader(value), DER_TAG.sequence)
  const usages: string[] = []
  while (reader.left > 0) usages.push(readOid(reader))
  return usages
}

/** BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER (0..MAX) OPTIONAL } */
function readBasicConstraints(value: Uint8Array): BasicConstraints {
  const reader = readInside(new Reader(value), DER_TAG.sequence)
  let { isCa, pathLength } = NO_CA
  while (reader.left > 0) {
    const { tag, contents } = readDerElement(reader)
    if (tag === DER_TAG.boolean) isCa = contents[0] !== 0
    // A longer integer than one octet is no limit in practice: no chain here is that long.
    if (tag === DER_TAG.integer) pathLength = contents.length === 1 ? contents[0] : undefined
  }
  return { isCa, pathLength }
}

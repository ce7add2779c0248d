// The extensions of a certificate that node:crypto does not tell: critical ones, keyUsage, pathLenConstraint.
import { DecodeError, DER_TAG, readDerElement, Reader, readInside } from '@latchkey/core'

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

/** TBSCertificate: `extensions [3] EXPLICIT`, the last field. RFC 5280 §4.1. */
const EXTENSIONS_TAG = 0xa3
/** KeyUsage ::= BIT STRING { digitalSignature (0), … }: the top bit of the first octet. */
const DIGITAL_SIGNATURE = 0x80
/** Far above what any certificate has. */
const MAX_EXTENSIONS = 64

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
    if (oid === EXTENSION.keyUsage) allowsDigitalSignature = readKeyUsage(value)
    if (oid === EXTENSION.basicConstraints) pathLength = readPathLength(value)
  }
  return { critical, allowsDigitalSignature, pathLength }
}

interface Extension {
  readonly oid: string
  readonly isCritical: boolean
  readonly value: Uint8Array
}

/** Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } */
function extensionsOf(der: Uint8Array): Extension[] {
  const tbs = readInside(readInside(new Reader(der), DER_TAG.sequence), DER_TAG.sequence)
  const extensions: Extension[] = []
  while (tbs.left > 0) {
    const field = readDerElement(tbs)
    if (field.tag !== EXTENSIONS_TAG) continue
    const list = readInside(new Reader(field.contents), DER_TAG.sequence)
    while (list.left > 0 && extensions.length < MAX_EXTENSIONS) extensions.push(readExtension(list))
    list.end()
  }
  return extensions
}

function readExtension(list: Reader): Extension {
  const reader = readInside(list, DER_TAG.sequence)
  const oid = dotted(readInside(reader, DER_TAG.oid).rest())
  let next = readDerElement(reader)
  const isCritical = next.tag === DER_TAG.boolean && next.contents[0] !== 0
  if (next.tag === DER_TAG.boolean) next = readDerElement(reader)
  if (next.tag !== DER_TAG.octetString)
    throw new DecodeError('ERR_DECODE_UNEXPECTED', { detail: `tag ${next.tag}` })
  return { oid, isCritical, value: next.contents }
}

/** A BIT STRING starts with the number of unused bits. */
function readKeyUsage(value: Uint8Array): boolean {
  const bits = readInside(new Reader(value), DER_TAG.bitString).rest()
  return ((bits[1] ?? 0) & DIGITAL_SIGNATURE) !== 0
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

/** X.690 §8.19; arcs here are small. */
function dotted(oid: Uint8Array): string {
  const arcs: number[] = []
  let arc = 0
  for (const byte of oid) {
    arc = arc * 128 + (byte & 0x7f)
    if (byte >= 0x80) continue
    if (arcs.length === 0)
      arcs.push(Math.min(2, Math.floor(arc / 40)), arc - 40 * Math.min(2, Math.floor(arc / 40)))
    else arcs.push(arc)
    arc = 0
  }
  return arcs.join('.')
}

// The extensions of an X.509 certificate, as far as it takes to find one. RFC 5280 §4.1, §4.2.
import { DER_TAG, readDerElement, readInside, readOid } from './der.ts'
import { DecodeError, Reader } from './reader.ts'

export interface CertificateExtension {
  /** Dotted. */
  readonly oid: string
  readonly isCritical: boolean
  /** DER of the value, as a view. */
  readonly value: Uint8Array
}

/** TBSCertificate: `extensions [3] EXPLICIT`, the last field. RFC 5280 §4.1. */
const EXTENSIONS_TAG = 0xa3
/** Far above what any certificate has. */
const MAX_EXTENSIONS = 64
/** KeyUsage ::= BIT STRING { digitalSignature (0), … }: the top bit of the first octet. */
const DIGITAL_SIGNATURE = 0x80

/**
 * Reads the extensions of a certificate that OpenSSL has parsed already.
 *
 * @param der Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { … }, … }
 * @throws {DecodeError} ERR_DECODE_* if it is no certificate.
 */
export function readCertificateExtensions(der: Uint8Array): CertificateExtension[] {
  const tbs = readInside(readInside(new Reader(der), DER_TAG.sequence), DER_TAG.sequence)
  const extensions: CertificateExtension[] = []
  while (tbs.left > 0) {
    const field = readDerElement(tbs)
    if (field.tag !== EXTENSIONS_TAG) continue
    const list = readInside(new Reader(field.contents), DER_TAG.sequence)
    while (list.left > 0 && extensions.length < MAX_EXTENSIONS) extensions.push(readExtension(list))
    list.end()
  }
  return extensions
}

/**
 * Whether the value of a keyUsage extension allows digital signatures. A BIT STRING starts with the number of unused bits.
 *
 * @throws {DecodeError}
 * @see RFC 5280 §4.2.1.3
 */
export function allowsDigitalSignature(keyUsage: Uint8Array): boolean {
  const bits = readInside(new Reader(keyUsage), DER_TAG.bitString).rest()
  return ((bits[1] ?? 0) & DIGITAL_SIGNATURE) !== 0
}

/** Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } */
function readExtension(list: Reader): CertificateExtension {
  const reader = readInside(list, DER_TAG.sequence)
  const oid = readOid(reader)
  let next = readDerElement(reader)
  const isCritical = next.tag === DER_TAG.boolean && next.contents[0] !== 0
  if (next.tag === DER_TAG.boolean) next = readDerElement(reader)
  if (next.tag !== DER_TAG.octetString)
    throw new DecodeError('ERR_DECODE_UNEXPECTED', { detail: `tag ${next.tag}` })
  return { oid, isCritical, value: next.contents }
}

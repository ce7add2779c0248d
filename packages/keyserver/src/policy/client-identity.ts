// What a client certificate says of its holder, as a policy asks for it. Read from the DER: the text that node:crypto makes of
// a subject separates its lines by newlines, and a name may hold one.
import { createHash, type X509Certificate } from 'node:crypto'
import {
  DER_TAG,
  readCertificateExtensions,
  readDerElement,
  Reader,
  readInside,
  readOid,
} from '@latchkey/core'

export interface ClientIdentity {
  /** Common names of the subject. */
  readonly cn: readonly string[]
  /** Organizational units of the subject. */
  readonly ou: readonly string[]
  /** DNS names and e-mail addresses in lower case, URIs, IP addresses in hex. */
  readonly san: readonly string[]
  /** SHA-256 over the SubjectPublicKeyInfo, in hex: RFC 7469 §2.4 calls it a pin. */
  readonly spki: string
}

/** RFC 5280 §A.1 */
const COMMON_NAME = '2.5.4.3'
const ORGANIZATIONAL_UNIT = '2.5.4.11'
const SUBJECT_ALT_NAME = '2.5.29.17'
/** GeneralName, RFC 5280 §4.2.1.6: rfc822Name [1], dNSName [2], uniformResourceIdentifier [6], iPAddress [7]. */
const EMAIL_TAG = 0x81
const DNS_TAG = 0x82
const URI_TAG = 0x86
const IP_TAG = 0x87
/** TBSCertificate ::= SEQUENCE { version [0] EXPLICIT OPTIONAL, serialNumber, signature, issuer, validity, subject, … } */
const VERSION_TAG = 0xa0
const FIELDS_BEFORE_SUBJECT = 4

/**
 * Reads a certificate that OpenSSL has parsed and verified already. What cannot be read is not there: a rule that asks for
 * it does not match.
 */
export function readClientIdentity(leaf: X509Certificate): ClientIdentity {
  const names = readSubject(leaf.raw)
  const spki = leaf.publicKey.export({ type: 'spki', format: 'der' })
  return {
    cn: names.filter(({ oid }) => oid === COMMON_NAME).map(({ text }) => text),
    ou: names.filter(({ oid }) => oid === ORGANIZATIONAL_UNIT).map(({ text }) => text),
    san: readAlternativeNames(leaf.raw),
    spki: createHash('sha256').update(spki).digest('hex'),
  }
}

interface Attribute {
  readonly oid: string
  readonly text: string
}

/** Name ::= SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }, RFC 5280 §4.1.2.4. */
function readSubject(der: Uint8Array): Attribute[] {
  const tbs = readInside(readInside(new Reader(der), DER_TAG.sequence), DER_TAG.sequence)
  const first = readDerElement(tbs)
  for (let skip = first.tag === VERSION_TAG ? 0 : 1; skip < FIELDS_BEFORE_SUBJECT; skip++) readDerElement(tbs)
  const name = readInside(tbs, DER_TAG.sequence)
  const attributes: Attribute[] = []
  while (name.left > 0) {
    const relative = readInside(name, DER_TAG.set)
    while (relative.left > 0) {
      const attribute = readInside(relative, DER_TAG.sequence)
      const oid = readOid(attribute)
      const text = readText(readDerElement(attribute))
      if (text !== undefined) attributes.push({ oid, text })
    }
  }
  return attributes
}

/** UTF8String, PrintableString, IA5String, BMPString (RFC 5280 §4.1.2.4): another kind of string names nobody. */
function readText({
  tag,
  contents,
}: {
  readonly tag: number
  readonly contents: Uint8Array
}): string | undefined {
  switch (tag) {
    case DER_TAG.utf8String:
    case 0x13:
    case 0x16:
      try {
        return UTF8.decode(contents)
      } catch {
        return undefined
      }
    case 0x1e:
      return contents.length % 2 === 0 ? UTF16.decode(contents) : undefined
    default:
      return undefined
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const UTF16 = new TextDecoder('utf-16be', { ignoreBOM: true })

function readAlternativeNames(der: Uint8Array): string[] {
  const extension = readCertificateExtensions(der).find(({ oid }) => oid === SUBJECT_ALT_NAME)
  if (extension === undefined) return []
  const list = readInside(new Reader(extension.value), DER_TAG.sequence)
  const names: string[] = []
  while (list.left > 0) {
    const { tag, contents } = readDerElement(list)
    const bytes = Buffer.from(contents)
    if (tag === DNS_TAG || tag === EMAIL_TAG) names.push(bytes.toString('latin1').toLowerCase())
    else if (tag === URI_TAG) names.push(bytes.toString('latin1'))
    else if (tag === IP_TAG) names.push(bytes.toString('hex'))
  }
  return names
}

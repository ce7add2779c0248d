// Fields of a certificate that node:crypto does not tell: how it is signed, and its subject as bytes. RFC 5280 §4.1.
import { DecodeError, DER_TAG, readDerElement, Reader, readInside, readOid } from '@latchkey/core'

const RSASSA_PSS = '1.2.840.113549.1.1.10'

/** Signatures over SHA-2 (RFC 5758, RFC 4055) and Ed25519 (RFC 8410): not SHA-1 and MD5, RFC 9155. */
const SIGNATURES: ReadonlySet<string> = new Set([
  '1.2.840.10045.4.3.2', // ecdsa-with-SHA256
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.2.840.113549.1.1.11', // sha256WithRSAEncryption
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.3.101.112', // Ed25519
])
const SHA2: ReadonlySet<string> = new Set([
  '2.16.840.1.101.3.4.2.1', // SHA-256
  '2.16.840.1.101.3.4.2.2',
  '2.16.840.1.101.3.4.2.3',
])

/**
 * Whether the certificate is signed in a way that we trust.
 *
 *     Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm AlgorithmIdentifier, signatureValue BIT STRING }
 *
 * @throws {DecodeError} if it is no certificate.
 */
export function hasSoundSignatureAlgorithm(der: Uint8Array): boolean {
  const certificate = readInside(new Reader(der), DER_TAG.sequence)
  readInside(certificate, DER_TAG.sequence)
  const algorithm = readInside(certificate, DER_TAG.sequence)
  const oid = readOid(algorithm)
  return oid === RSASSA_PSS ? SHA2.has(readPssHash(algorithm)) : SIGNATURES.has(oid)
}

const EXPLICIT_0 = 0xa0
const SHA1 = '1.3.14.3.2.26'

/** RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] HashAlgorithm DEFAULT sha1, … }. RFC 4055 §3.1. */
function readPssHash(algorithm: Reader): string {
  const parameters = readInside(algorithm, DER_TAG.sequence)
  if (parameters.left === 0) return SHA1
  const { tag, contents } = readDerElement(parameters)
  return tag === EXPLICIT_0 ? readOid(readInside(new Reader(contents), DER_TAG.sequence)) : SHA1
}

/**
 * DER of the subject, a view.
 *
 *     TBSCertificate ::= SEQUENCE { version [0] DEFAULT v1, serialNumber, signature, issuer, validity, subject, … }
 *
 * @throws {DecodeError} if it is no certificate.
 */
export function certificateSubject(der: Uint8Array): Uint8Array {
  const tbs = readInside(readInside(new Reader(der), DER_TAG.sequence), DER_TAG.sequence).rest()
  const reader = new Reader(tbs)
  const hasVersion = tbs[0] === EXPLICIT_0
  for (let field = hasVersion ? 0 : 1; field < 5; field++) readDerElement(reader)
  const start = reader.offset
  if (readDerElement(reader).tag !== DER_TAG.sequence)
    throw new DecodeError('ERR_DECODE_UNEXPECTED', { detail: 'no subject' })
  return tbs.subarray(start, reader.offset)
}

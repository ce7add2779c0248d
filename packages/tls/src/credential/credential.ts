// A certificate chain with what the handshake needs of it, computed once: public data only.
import { publicKeyId, X509Certificate, type KeyObject } from '../crypto-provider.ts'
import { TlsError } from '../errors.ts'
import { isSchemeOf, SIGNATURE_SCHEMES, type SignatureSchemeName } from '../handshake/signature-scheme.ts'
import { type Credential12, credential12 } from '../handshake12/credential12.ts'
import { CertificateMessages } from './certificate-messages.ts'
import { checkOcspResponse, readSctList, type Staples } from './stapling.ts'

/** One certificate that can be served. Constant bytes are shared by all handshakes: do not change them. */
export interface Credential {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  /** SHA-256 of the leaf's SubjectPublicKeyInfo, 32 bytes. */
  readonly keyId: Uint8Array
  readonly publicKey: KeyObject
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array
  /** TLS 1.3 schemes the key can do, best first; empty: it is for TLS 1.2 only. */
  readonly schemes: readonly SignatureSchemeName[]
  /** dNSName subject alternative names, lower case. */
  readonly names: readonly string[]
  /** End of validity, milliseconds since the epoch. */
  readonly notAfterMs: number
  /** What is stapled for clients that ask. */
  readonly staples: Staples
  /** The encoded Certificate messages of TLS 1.3. */
  readonly certificateMessages: CertificateMessages
  /** The same for TLS 1.2. */
  readonly tls12: Credential12
}

/** A chain longer than this is a mistake, and every client would pay for it in every handshake. */
const MAX_CHAIN = 10

/**
 * Reads a PEM chain, leaf first.
 *
 * @param options `schemes`: what the key's home can do, where that is less than the key type allows; `ocsp`: OCSPResponse,
 * DER; `sct`: SignedCertificateTimestampList. Who has a fresh response loads the credential again.
 * @throws {TlsError} ERR_TLS_CREDENTIAL saying what is wrong with the chain.
 */
export function loadCredential({
  chain: pem,
  schemes: allowed,
  ocsp,
  sct,
}: {
  readonly chain: string
  readonly schemes?: readonly SignatureSchemeName[]
} & Staples): Credential {
  if (ocsp !== undefined) checkOcspResponse(ocsp)
  if (sct !== undefined) readSctList(sct)
  const certificates = readPemChain(pem)
  const leaf = certificates[0] as X509Certificate
  const publicKey = leaf.publicKey
  const schemes = schemesOf(publicKey).filter((name) => allowed === undefined || allowed.includes(name))
  const chain = certificates.map((certificate) => new Uint8Array(certificate.raw))
  const tls12 = credential12(chain, publicKey, allowed)
  // A key whose home can do no more than PKCS#1 v1.5 is still good for TLS 1.2.
  if (schemes.length === 0 && tls12.schemes.length === 0) {
    throw new TlsError('ERR_TLS_CREDENTIAL', {
      detail: `no signature scheme fits a ${describeKey(publicKey)} key`,
    })
  }
  return {
    chain,
    ...publicKeyId(publicKey),
    publicKey,
    schemes,
    names: dnsNames(leaf),
    notAfterMs: Date.parse(leaf.validTo),
    staples: { ocsp, sct },
    certificateMessages: new CertificateMessages(chain, { ocsp, sct }),
    tls12,
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

function readPemChain(pem: string): X509Certificate[] {
  const blocks = pem.match(PEM_CERTIFICATE) ?? []
  if (blocks.length === 0)
    throw new TlsError('ERR_TLS_CREDENTIAL', { detail: 'no PEM CERTIFICATE block found' })
  if (blocks.length > MAX_CHAIN)
    throw new TlsError('ERR_TLS_CREDENTIAL', {
      detail: `${blocks.length} certificates, at most ${MAX_CHAIN}`,
    })
  const certificates = blocks.map((block, index) => {
    try {
      return new X509Certificate(block)
    } catch (cause) {
      throw new TlsError('ERR_TLS_CREDENTIAL', {
        detail: `certificate ${index + 1} of the chain cannot be read`,
        cause,
      })
    }
  })
  for (const [index, issuer] of certificates.slice(1).entries()) {
    // RFC 8446 §4.4.2: each certificate should certify the one before it; clients are not asked to sort.
    if (!(certificates[index] as X509Certificate).checkIssued(issuer)) {
      throw new TlsError('ERR_TLS_CREDENTIAL', {
        detail: `certificate ${index + 2} did not issue certificate ${index + 1}: leaf first, then each issuer`,
      })
    }
  }
  return certificates
}

/** Best first: the shortest hash that fits. */
function schemesOf(key: KeyObject): SignatureSchemeName[] {
  const curve = key.asymmetricKeyDetails?.namedCurve
  return (Object.keys(SIGNATURE_SCHEMES) as SignatureSchemeName[]).filter((name) => {
    const row = SIGNATURE_SCHEMES[name]
    return row.tls13 && isSchemeOf(row, key) && (row.curve === undefined || row.curve === curve)
  })
}

function describeKey(key: KeyObject): string {
  return [key.asymmetricKeyType, key.asymmetricKeyDetails?.namedCurve].filter(Boolean).join(' ')
}

/** node:crypto prints names as `DNS:a.example, DNS:b.example`, quoting those that could confuse; such are no host names. */
function dnsNames(leaf: X509Certificate): string[] {
  const names: string[] = []
  for (const entry of (leaf.subjectAltName ?? '').split(', ')) {
    if (entry.startsWith('DNS:') && !entry.includes('"')) names.push(entry.slice('DNS:'.length).toLowerCase())
  }
  return names
}

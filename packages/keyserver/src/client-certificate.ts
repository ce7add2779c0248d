// Who may connect: a certificate under a configured CA whose extended key usage is clientAuth, any, or not given.
//
// OpenSSL checks everything but refuses "any" (its purpose check knows clientAuth only), and node:tls reports the last
// thing OpenSSL found wrong, which can hide an earlier one: a self-signed certificate with "any" is reported as
// INVALID_PURPOSE and nothing else. So INVALID_PURPOSE alone is never enough: everything that it can hide (all that
// OpenSSL checks before it) is checked again here, and what OpenSSL checks after it (weak digests, validity,
// signatures, name constraints) would have been reported in its place.
import { X509Certificate } from 'node:crypto'
import { type CertificateExtensions, EXTENSION, readCertificateExtensions } from './certificate-extensions.ts'
import { KeyServerError } from './errors.ts'

/** RFC 5280 §4.2.1.12. */
const USAGES_OF_A_CLIENT: ReadonlySet<string> = new Set(['1.3.6.1.5.5.7.3.2', '2.5.29.37.0'])
/** What is understood here; RFC 5280 §4.2: a critical extension that is not refuses the certificate. */
const UNDERSTOOD: ReadonlySet<string> = new Set(Object.values(EXTENSION))
/** Leaf and intermediates. Real chains have three at most; each certificate costs a signature check. */
const MAX_CHAIN = 8

/** The CAs that client certificates may come from. */
export interface ClientCas {
  readonly pem: readonly string[]
  /** Self-signed: where a chain may end. */
  readonly roots: readonly X509Certificate[]
  /** The rest of the bundle: helps to reach a root, is not trusted for itself. */
  readonly intermediates: readonly X509Certificate[]
}

/**
 * Reads a PEM bundle.
 *
 * @throws {KeyServerError} ERR_KEYSERVER_CA if there is no self-signed certificate in it, or something unreadable.
 */
export function readClientCas(bundle: string | Uint8Array): ClientCas {
  const text = typeof bundle === 'string' ? bundle : Buffer.from(bundle).toString('latin1')
  const pem = certificateBlocks(text)
  const certificates = pem.map((block) => {
    try {
      return new X509Certificate(block)
    } catch (cause) {
      throw new KeyServerError('ERR_KEYSERVER_CA', { detail: 'a certificate in it is damaged', cause })
    }
  })
  const roots = certificates.filter((each) => isRoot(each))
  // Without any, node:tls would fall back to the public CAs of the Web.
  if (roots.length === 0)
    throw new KeyServerError('ERR_KEYSERVER_CA', { detail: 'no self-signed certificate in it' })
  return { pem, roots, intermediates: certificates.filter((each) => !roots.includes(each)) }
}

/** What node:tls says about a finished handshake. */
export interface Presented {
  /** Leaf first, as presented; empty if the client has none. */
  readonly chain: readonly X509Certificate[]
  /** Whether OpenSSL had no objection at all. */
  readonly isAuthorized: boolean
  /** OpenSSL's last objection. */
  readonly objection: string | undefined
}

/** Why this client is refused; undefined: it is welcome. */
export function refusalOf(presented: Presented, cas: ClientCas, now: Date): string | undefined {
  const { chain, isAuthorized, objection } = presented
  const [leaf] = chain
  if (leaf === undefined) return 'no client certificate'
  if (isAuthorized && objection === undefined) return undefined
  if (objection !== 'INVALID_PURPOSE') return `client certificate: ${objection ?? 'not authorized'}`
  if (!hasClientUsage(leaf)) return 'client certificate: extended key usage is not for TLS clients'
  try {
    return refusalOfChain(leaf, chain.slice(1), cas, now)
  } catch {
    // A stranger chose these bytes: whatever cannot be read (an unknown kind of key, damaged DER) is no certificate.
    return 'client certificate: cannot be checked'
  }
}

/** The whole of RFC 5280 §6.1 that our chains need, from the leaf up to a root of ours. */
function refusalOfChain(
  leaf: X509Certificate,
  presented: readonly X509Certificate[],
  cas: ClientCas,
  now: Date,
): string | undefined {
  const flaw = flawOfAny(leaf, now)
  if (flaw !== undefined) return `client certificate: ${flaw}`
  if (!readCertificateExtensions(leaf.raw).allowsDigitalSignature) {
    return 'client certificate: key usage does not allow signatures'
  }
  const helpers = [...cas.intermediates, ...presented]
  let below = leaf
  for (let casBelow = 0; casBelow < MAX_CHAIN; casBelow++) {
    const root = cas.roots.find((each) => isIssuedBy(below, each))
    if (root !== undefined) {
      const rootFlaw = flawOfCa(root, casBelow, now)
      return rootFlaw === undefined ? undefined : `root of the client certificate: ${rootFlaw}`
    }
    const issuer = helpers.find((each) => each !== below && isIssuedBy(below, each))
    if (issuer === undefined) return 'client certificate: not under a configured CA'
    const issuerFlaw = issuer.ca ? flawOfCa(issuer, casBelow, now) : 'not a CA'
    if (issuerFlaw !== undefined) return `issuer of the client certificate: ${issuerFlaw}`
    below = issuer
  }
  return 'client certificate: chain too long'
}

/** An old root with an algorithm that OpenSSL no longer knows must not keep the others of its bundle from use. */
function isRoot(certificate: X509Certificate): boolean {
  try {
    return isIssuedBy(certificate, certificate)
  } catch {
    return false
  }
}

/** Names, key identifiers and keyCertSign agree (RFC 5280 §6.1.3 a 4), and the signature is of that very key. */
function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

/** @param casBelow CAs between this one and the leaf. */
function flawOfCa(ca: X509Certificate, casBelow: number, now: Date): string | undefined {
  const { pathLength } = readCertificateExtensions(ca.raw)
  if (pathLength !== undefined && casBelow > pathLength) return 'more CAs below it than it allows'
  if (!hasClientUsage(ca)) return 'extended key usage is not for TLS clients'
  return flawOfAny(ca, now)
}

function flawOfAny(certificate: X509Certificate, now: Date): string | undefined {
  if (now < certificate.validFromDate) return 'not valid yet'
  if (now > certificate.validToDate) return 'expired'
  const { critical }: CertificateExtensions = readCertificateExtensions(certificate.raw)
  const unknown = critical.find((oid) => !UNDERSTOOD.has(oid))
  return unknown === undefined ? undefined : `critical extension ${unknown} is not understood`
}

/** node:crypto calls the extended key usage `keyUsage`. */
function hasClientUsage({ keyUsage }: X509Certificate): boolean {
  return keyUsage === undefined || keyUsage.some((oid) => USAGES_OF_A_CLIENT.has(oid))
}

/** The chain a client presented, leaf first, at most eight certificates. */
export function presentedChain(leaf: X509Certificate | undefined): X509Certificate[] {
  const chain: X509Certificate[] = []
  for (let each = leaf; each !== undefined && chain.length < MAX_CHAIN; each = each.issuerCertificate) {
    chain.push(each)
  }
  return chain
}

/** The PEM blocks of certificates, whatever stands around them. */
export function certificateBlocks(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
}

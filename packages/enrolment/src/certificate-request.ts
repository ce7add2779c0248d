// The key pair of a key server and what it sends to a CA: a certification request, PKCS#10 (RFC 2986).
import { createPrivateKey, createPublicKey, KeyObject, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'

/** What gokeyless puts there; the CA goes by the SAN. */
const COMMON_NAME = 'Keyless Server Authentication Certificate'
const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-384' }
const SIGNATURE_ALGORITHM = { name: 'ECDSA', hash: 'SHA-384' }

export interface CertificateRequest {
  /** SEC 1 (RFC 5915), not encrypted. */
  readonly privateKeyPem: string
  readonly csrPem: string
}

/**
 * A fresh P-384 key and a request for a certificate for it.
 *
 * @param hostname the one name of the SAN: a DNS name or an IP address.
 */
export async function createCertificateRequest(hostname: string): Promise<CertificateRequest> {
  const x509 = await loadX509()
  const keys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify'])
  const name = { type: isIP(hostname) === 0 ? ('dns' as const) : ('ip' as const), value: hostname }
  const csr = await x509.Pkcs10CertificateRequestGenerator.create(
    {
      name: new x509.Name([{ CN: [{ utf8String: COMMON_NAME }] }]),
      keys,
      signingAlgorithm: SIGNATURE_ALGORITHM,
      extensions: [new x509.SubjectAlternativeNameExtension([name])],
    },
    webcrypto,
  )
  const privateKeyPem = KeyObject.from(keys.privateKey).export({ type: 'sec1', format: 'pem' })
  return { privateKeyPem, csrPem: `${csr.toString('pem')}\n` }
}

/** Whether the request is signed by its own key, and that is the key given. False for what cannot be read. */
export async function isRequestOf({ privateKeyPem, csrPem }: CertificateRequest): Promise<boolean> {
  try {
    const x509 = await loadX509()
    const csr = new x509.Pkcs10CertificateRequest(csrPem)
    const ours = createPublicKey(createPrivateKey(privateKeyPem)).export({ type: 'spki', format: 'der' })
    return ours.equals(new Uint8Array(csr.publicKey.rawData)) && (await csr.verify(webcrypto))
  } catch {
    return false
  }
}

/** Loaded when it is needed: most starts of a key server need it not. */
async function loadX509() {
  await import('reflect-metadata') // must be loaded before the certificate library
  return await import('@peculiar/x509')
}

// The client's Certificate message, in both versions, and what every client's certificate has to be for us to take a
// signature of its key, whoever decides about the rest. RFC 8446 §4.4.2, RFC 5246 §7.4.6.
import { DecodeError, Reader } from '@latchkey/core'
import { equalSecrets, type KeyObject, X509Certificate } from '../crypto-provider.ts'
import { refuse, TlsError } from '../errors.ts'
import { HandshakeType } from '../handshake/handshake-type.ts'
import type { ExpectedMessage } from '../record/handshake-reassembler.ts'
import { readConstraints } from './constraints.ts'
import { isAcceptableKey } from './client-key.ts'
import type { ClientAuthentication, ClientCertificatePolicy } from './policy.ts'

export const CERTIFICATE: ExpectedMessage = {
  type: HandshakeType.certificate,
  maxBytes: 65_536,
  isExact: false,
  isFollowed: true,
}

/** Each costs a parse, and perhaps a signature check. Real chains have four at most. */
const MAX_CHAIN = 10

/**
 * The chain of a TLS 1.3 client, copied; empty: it has none.
 *
 *     struct { opaque certificate_request_context<0..2^8-1>; CertificateEntry certificate_list<0..2^24-1>; } Certificate;
 *     struct { opaque cert_data<1..2^24-1>; Extension extensions<0..2^16-1>; } CertificateEntry;
 */
export function readClientCertificate(body: Uint8Array): Uint8Array[] {
  return readMessage(body, (reader) => {
    const context = reader.opaque8()
    const chain = readList(reader, (entries) => {
      const certificate = entries.opaque24()
      readExtensions(entries.vector16())
      return certificate
    })
    if (context.length > 0) refuse('ERR_TLS_ILLEGAL_PARAMETER', 'certificate_request_context is not ours')
    return chain
  })
}

/** The chain of a TLS 1.2 client, copied; empty: it has none. `ASN.1Cert certificate_list<0..2^24-1>` */
export function readClientCertificate12(body: Uint8Array): Uint8Array[] {
  return readMessage(body, (reader) => readList(reader, (entries) => entries.opaque24()))
}

function readMessage(body: Uint8Array, read: (reader: Reader) => Uint8Array[]): Uint8Array[] {
  try {
    const reader = new Reader(body)
    const chain = read(reader)
    reader.end()
    return chain
  } catch (error) {
    if (error instanceof DecodeError)
      throw new TlsError('ERR_TLS_DECODE', { detail: `Certificate: ${error.message}`, cause: error })
    throw error
  }
}

function readList(reader: Reader, readEntry: (entries: Reader) => Uint8Array): Uint8Array[] {
  const entries = reader.vector24()
  const chain: Uint8Array[] = []
  while (entries.left > 0) {
    const certificate = readEntry(entries)
    if (certificate.length === 0) refuse('ERR_TLS_DECODE', 'an empty certificate')
    if (chain.length === MAX_CHAIN)
      refuse('ERR_TLS_BAD_CERTIFICATE', `a chain of more than ${MAX_CHAIN} certificates`)
    // The message is a view of received bytes that are gone when the next one comes.
    chain.push(new Uint8Array(certificate))
  }
  return chain
}

/** RFC 8446 §4.4.2: only answers to what CertificateRequest offered, and ours offers nothing that is answered. */
function readExtensions(extensions: Reader): void {
  if (extensions.left === 0) return
  const type = extensions.u16()
  extensions.opaque16()
  refuse('ERR_TLS_UNSUPPORTED_EXTENSION', `extension ${type} of a client certificate`)
}

/** A client's certificate that was looked at; that the client has the key is not yet shown. */
export interface PresentedCertificate {
  readonly publicKey: KeyObject
  /** What the session will say, once it is. */
  readonly authentication: ClientAuthentication
}

/**
 * Reads the chain, and asks the policy.
 *
 * @param chain DER, leaf first, not empty.
 * @throws {TlsError} with the alert that says what is wrong.
 */
export function authorizeClient(
  chain: readonly Uint8Array[],
  policy: ClientCertificatePolicy,
  nowMs: number,
): PresentedCertificate {
  const certificates = chain.map(parseCertificate)
  const publicKey = signingKey(certificates[0] as X509Certificate)
  const refusal = policy.verify(certificates, nowMs)
  if (refusal !== undefined && policy.rejectUnauthorized) throw refusal
  return { publicKey, authentication: authenticationOf(chain, refusal) }
}

/** What a client showed in the handshake that a session began with, and what the policy said of it. */
export interface ShownBefore {
  /** DER, leaf first, not empty. */
  readonly chain: readonly Uint8Array[]
  readonly wasAuthorized: boolean
}

/**
 * Asks the policy again: time has passed, and it may be another.
 *
 * @returns undefined: its verdict is not what it was, or it does not take such clients any more.
 */
export function reauthorizeClient(
  { chain, wasAuthorized }: ShownBefore,
  policy: ClientCertificatePolicy,
  nowMs: number,
): ClientAuthentication | undefined {
  const refusal = policy.verify(chain.map(parseCertificate), nowMs)
  if (refusal !== undefined && policy.rejectUnauthorized) return undefined
  return wasAuthorized === (refusal === undefined) ? authenticationOf(chain, refusal) : undefined
}

function authenticationOf(
  peerCertificates: readonly Uint8Array[],
  refusal: TlsError | undefined,
): ClientAuthentication {
  return { peerCertificates, authorized: refusal === undefined, authorizationError: refusal?.code }
}

function parseCertificate(der: Uint8Array): X509Certificate {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(der)
  } catch (cause) {
    throw new TlsError('ERR_TLS_DECODE', { detail: 'a client certificate cannot be read', cause })
  }
  // It would also take PEM from the midst of something else, and leave bytes behind the certificate unread.
  if (!equalSecrets(certificate.raw, der)) refuse('ERR_TLS_DECODE', 'a client certificate is not DER')
  return certificate
}

/** RFC 5280 §4.2.1.3: where keyUsage is there, it must allow what CertificateVerify does. */
function signingKey(leaf: X509Certificate): KeyObject {
  const key = publicKeyOf(leaf)
  if (key === undefined || !isAcceptableKey(key))
    refuse('ERR_TLS_UNSUPPORTED_CERTIFICATE', 'a kind or size of key that is not taken')
  if (!allowsDigitalSignature(leaf))
    refuse('ERR_TLS_UNSUPPORTED_CERTIFICATE', 'key usage does not allow signatures')
  return key
}

/** undefined: of a kind that OpenSSL does not know. */
export function publicKeyOf(certificate: X509Certificate): KeyObject | undefined {
  try {
    return certificate.publicKey
  } catch {
    return undefined
  }
}

function allowsDigitalSignature(leaf: X509Certificate): boolean {
  try {
    return readConstraints(leaf.raw).allowsDigitalSignature
  } catch (cause) {
    throw new TlsError('ERR_TLS_BAD_CERTIFICATE', { detail: 'extensions that cannot be read', cause })
  }
}

// How the key server speaks TLS: which versions, suites and groups, and what it does not do.
import { constants, createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { ClientCas } from './client-certificate.ts'
import { KeyServerError } from './errors.ts'

export interface ServerIdentity {
  /** PEM: the certificate, then its intermediates. */
  readonly cert: string | Uint8Array
  /** PEM. */
  readonly key: string | Uint8Array
}

/** The two that every client of the protocol offers under TLS 1.2, then the suites of TLS 1.3 (RFC 8446 §B.4). */
const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
].join(':')

/** Hybrid first: what a client signs is public soon, but whose keys are in use should stay private for longer. */
const GROUPS = 'X25519MLKEM768:X25519:P-256:P-384'

/**
 * No resumption: a resumed session would keep the verdict on a client certificate past a change of the CA bundle, and
 * connections here live long. No renegotiation: no client of the protocol does it.
 */
const SECURE_OPTIONS = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION

/**
 * Settings for a TLS server, proven to work: a context was made of them.
 *
 * @throws {KeyServerError} ERR_KEYSERVER_CERTIFICATE if certificate and key cannot be read or do not belong together.
 */
export function tlsSettings(
  { cert, key }: ServerIdentity,
  cas: ClientCas,
  tls13: boolean,
): SecureContextOptions {
  const settings: SecureContextOptions = {
    cert: text(cert),
    key: text(key),
    ca: [...cas.pem],
    minVersion: 'TLSv1.2',
    maxVersion: tls13 ? 'TLSv1.3' : 'TLSv1.2',
    ciphers: CIPHERS,
    ecdhCurve: GROUPS,
    honorCipherOrder: true,
    secureOptions: SECURE_OPTIONS,
  }
  try {
    checkPair(text(cert), text(key))
    createSecureContext(settings)
  } catch (cause) {
    if (cause instanceof KeyServerError) throw cause
    const detail = cause instanceof Error && 'reason' in cause ? String(cause.reason) : undefined
    throw new KeyServerError('ERR_KEYSERVER_CERTIFICATE', { detail, cause })
  }
  return settings
}

/** node:tls takes an empty text for "no certificate" and says nothing. */
function checkPair(cert: string, key: string): void {
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new KeyServerError('ERR_KEYSERVER_CERTIFICATE', { detail: 'they do not belong together' })
  }
}

/** When the server certificate is valid. */
export interface Validity {
  readonly from: Date
  readonly to: Date
}

export function validityOf({ cert }: ServerIdentity): Validity {
  const { validFromDate: from, validToDate: to } = new X509Certificate(cert)
  return { from, to }
}

function text(pem: string | Uint8Array): string {
  return typeof pem === 'string' ? pem : Buffer.from(pem).toString('latin1')
}

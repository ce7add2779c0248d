// The client's CertificateVerify: it has the key of its certificate. RFC 8446 §4.4.3, RFC 5246 §7.4.8.
import { DecodeError, Reader } from '@latchkey/core'
import { type KeyObject, verifySignature } from '../crypto-provider.ts'
import { refuse, TlsError } from '../errors.ts'
import { HandshakeType } from '../handshake/handshake-type.ts'
import { SIGNATURE_SCHEMES } from '../handshake/signature-scheme.ts'
import type { ExpectedMessage } from '../record/handshake-reassembler.ts'
import { fitsKey, offeredSchemes } from './client-key.ts'
import type { ClientCertificatePolicy } from './policy.ts'

export const CERTIFICATE_VERIFY: ExpectedMessage = {
  type: HandshakeType.certificate_verify,
  maxBytes: 8192,
  isExact: false,
}

interface Signed {
  readonly policy: ClientCertificatePolicy
  readonly publicKey: KeyObject
  /** TLS 1.2 or 1.3, as on the wire. */
  readonly version: number
  /** What is signed. */
  readonly content: Uint8Array
}

/** @throws {TlsError} if `body` is no signature of `content` by this key in a way that we offered. */
export function checkCertificateVerify(
  body: Uint8Array,
  { policy, publicKey, version, content }: Signed,
): void {
  const { code, signature } = readCertificateVerify(body)
  const scheme = offeredSchemes(policy).find((name) => SIGNATURE_SCHEMES[name].code === code)
  if (scheme === undefined || !fitsKey(scheme, publicKey, version))
    refuse('ERR_TLS_ILLEGAL_PARAMETER', `CertificateVerify with scheme 0x${code.toString(16)}`)
  const { hash, keyType, tls13 } = SIGNATURE_SCHEMES[scheme]
  if (!verifySignature(publicKey, { hash, pss: keyType === 'rsa' && tls13 }, content, signature))
    refuse('ERR_TLS_DECRYPT', 'CertificateVerify does not verify')
}

/** `struct { SignatureScheme algorithm; opaque signature<0..2^16-1>; } CertificateVerify;` in both versions. */
function readCertificateVerify(body: Uint8Array): { code: number; signature: Uint8Array } {
  try {
    const reader = new Reader(body)
    const code = reader.u16()
    const signature = reader.opaque16()
    reader.end()
    return { code, signature }
  } catch (error) {
    if (error instanceof DecodeError)
      throw new TlsError('ERR_TLS_DECODE', { detail: `CertificateVerify: ${error.message}`, cause: error })
    throw error
  }
}

// What a test client shows and signs with, and how it says so. RFC 8446 §4.4.2, §4.4.3, RFC 5246 §7.4.6, §7.4.8.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import type { Issued } from '@latchkey/throwaway-pki'
import { concat, u16, u8, vector16, vector24, vector8 } from './bytes.ts'
import { message } from './client-hello.ts'
import { MESSAGE } from './code-points.ts'

export interface ClientCertificate {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  readonly privateKey: KeyObject
  /** Default: the usual one for the key. */
  readonly scheme?: number
}

export function clientCertificate({ chainPem, privateKeyPem }: Issued): ClientCertificate {
  return { chain: derChain(chainPem), privateKey: createPrivateKey(privateKeyPem) }
}

export function derChain(pem: string): Uint8Array[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => new Uint8Array(new X509Certificate(block).raw))
}

export interface CertificateFields {
  readonly context?: Uint8Array
  /** The extensions of each entry, without their length. */
  readonly extensions?: Uint8Array
}

export function certificateMessage(
  chain: readonly Uint8Array[],
  { context = new Uint8Array(0), extensions = new Uint8Array(0) }: CertificateFields = {},
): Uint8Array {
  const entries = chain.map((der) => concat(vector24(der), vector16(extensions)))
  return message(MESSAGE.certificate, concat(vector8(context), vector24(...entries)))
}

export function certificateMessage12(chain: readonly Uint8Array[]): Uint8Array {
  return message(MESSAGE.certificate, vector24(...chain.map((der) => vector24(der))))
}

export function certificateVerifyMessage(scheme: number, signature: Uint8Array): Uint8Array {
  return message(MESSAGE.certificate_verify, concat(u16(scheme), vector16(signature)))
}

/** An extension of a certificate entry. */
export function entryExtension(type: number, body: Uint8Array = u8(0)): Uint8Array {
  return concat(u16(type), vector16(body))
}

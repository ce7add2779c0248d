// CertificateRequest: RFC 8446 §4.3.2, RFC 5246 §7.4.4.
import { Writer } from '@latchkey/core'
import { ExtensionType } from '../handshake/extension-type.ts'
import { HandshakeType } from '../handshake/handshake-type.ts'
import { SIGNATURE_SCHEMES } from '../handshake/signature-scheme.ts'
import { offeredSchemes } from './client-key.ts'
import type { ClientCertificatePolicy } from './policy.ts'

/** The names are a hint: more of them than fit into a record would cost every handshake more than they tell. */
const MAX_AUTHORITIES_BYTES = 15_000

/**
 *     struct { opaque certificate_request_context<0..2^8-1>; Extension extensions<2..2^16-1>; } CertificateRequest;
 *
 * The context is empty, as it is to be in a handshake. `certificate_authorities` is left out when it would be empty,
 * RFC 8446 §4.2.4.
 */
export function writeCertificateRequest(policy: ClientCertificatePolicy): Uint8Array {
  const authorities = fittingAuthorities(policy)
  return message((body) => {
    body.u8(0).vector16((extensions) => {
      extensions
        .u16(ExtensionType.signature_algorithms)
        .vector16((schemes) => schemes.vector16((list) => writeSchemes(list, policy)))
      if (authorities.length > 0) {
        extensions
          .u16(ExtensionType.certificate_authorities)
          .vector16((names) => names.vector16((list) => writeNames(list, authorities)))
      }
    })
  })
}

/** ClientCertificateType: rsa_sign, and ecdsa_sign for all curves. RFC 5246 §7.4.4, RFC 8422 §5.5. */
const CERTIFICATE_TYPES = [1, 64] as const

/**
 *     struct {
 *         ClientCertificateType certificate_types<1..2^8-1>;
 *         SignatureAndHashAlgorithm supported_signature_algorithms<2..2^16-2>;
 *         DistinguishedName certificate_authorities<0..2^16-1>;
 *     } CertificateRequest;
 */
export function writeCertificateRequest12(policy: ClientCertificatePolicy): Uint8Array {
  return message((body) => {
    body.vector8((types) => {
      for (const type of CERTIFICATE_TYPES) types.u8(type)
    })
    body.vector16((list) => writeSchemes(list, policy))
    body.vector16((list) => writeNames(list, fittingAuthorities(policy)))
  })
}

function message(body: (writer: Writer) => void): Uint8Array {
  return new Writer(256).u8(HandshakeType.certificate_request).vector24(body).finish()
}

function writeSchemes(writer: Writer, policy: ClientCertificatePolicy): void {
  for (const name of offeredSchemes(policy)) writer.u16(SIGNATURE_SCHEMES[name].code)
}

function writeNames(writer: Writer, authorities: readonly Uint8Array[]): void {
  for (const name of authorities) writer.opaque16(name)
}

function fittingAuthorities({ authorities }: ClientCertificatePolicy): readonly Uint8Array[] {
  const bytes = authorities.reduce((sum, name) => sum + 2 + name.length, 0)
  return bytes > MAX_AUTHORITIES_BYTES ? [] : authorities
}

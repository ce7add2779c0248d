// The messages of a TLS 1.2 server handshake. RFC 5246 §7.4, RFC 8422 §5, RFC 5077 §3.3.
import { DecodeError, Reader, Writer } from '@latchkey/core'
import type { Staples } from '../credential/stapling.ts'
import { TlsError } from '../errors.ts'
import { ExtensionType } from '../handshake/extension-type.ts'
import { HandshakeType } from '../handshake/handshake-type.ts'
import type { NamedGroup } from '../handshake/named-group.ts'
import { TLS12 } from '../handshake/protocol-version.ts'
import { SIGNATURE_SCHEMES, type SignatureSchemeName } from '../handshake/signature-scheme.ts'
import type { CipherSuite12 } from './cipher-suite12.ts'
import type { HelloExtensions12 } from './hello-extensions12.ts'

const NULL_COMPRESSION = 0

/** Every handshake message: type, three bytes of length, body. RFC 5246 §7.4. */
function message(type: number, body: (writer: Writer) => void, capacity = 256): Uint8Array {
  return new Writer(capacity).u8(type).vector24(body).finish()
}

/** The end of ServerHello.random that says "TLS 1.2, though I know TLS 1.3". RFC 8446 §4.1.3. */
export const DOWNGRADE_SENTINEL = Uint8Array.of(0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44, 0x01)

/** `random` of 32 bytes with the sentinel at its end: written into it, and returned. */
export function withDowngradeSentinel(random: Uint8Array): Uint8Array {
  random.set(DOWNGRADE_SENTINEL, random.length - DOWNGRADE_SENTINEL.length)
  return random
}

export interface ServerHello12Fields {
  readonly random: Uint8Array
  /** The client's in a resumption, else empty: nothing is kept here that could be resumed by it. RFC 5077 §3.4. */
  readonly sessionId: Uint8Array
  readonly suite: CipherSuite12
  /** What the client offered. */
  readonly offered: HelloExtensions12
  readonly alpnProtocol: string | undefined
  readonly hasServerName: boolean
  /** Whether NewSessionTicket will follow. */
  readonly hasSessionTicket: boolean
  /** What the client asked to have stapled: CertificateStatus will follow, timestamps are here. RFC 6066 §8, RFC 6962 §3.3.1. */
  readonly staples: Staples
  /** Ours, where the client said its own. RFC 8449 §4. */
  readonly recordSizeLimit: number | undefined
}

/**
 *     struct {
 *         ProtocolVersion server_version = 0x0303;
 *         Random random;
 *         SessionID session_id;
 *         CipherSuite cipher_suite;
 *         CompressionMethod compression_method = 0;
 *         Extension extensions<0..2^16-1>;      left out when empty
 *     } ServerHello;
 */
export function writeServerHello12(fields: ServerHello12Fields): Uint8Array {
  const { random, sessionId, suite } = fields
  const extensions = serverHelloExtensions(fields)
  return message(HandshakeType.server_hello, (body) => {
    body.u16(TLS12).opaque(random).opaque8(sessionId).u16(suite.code).u8(NULL_COMPRESSION)
    if (extensions.length > 0) body.opaque16(extensions)
  })
}

/** Answers to what the client offered, nothing else. RFC 5246 §7.4.1.4. */
function serverHelloExtensions(fields: ServerHello12Fields): Uint8Array {
  const { suite, offered, alpnProtocol, hasServerName, hasSessionTicket, staples, recordSizeLimit } = fields
  const writer = new Writer(64)
  if (hasServerName) writer.u16(ExtensionType.server_name).u16(0)
  if (offered.hasRenegotiationInfo) writer.u16(ExtensionType.renegotiation_info).u16(1).u8(0)
  if (offered.hasExtendedMasterSecret) writer.u16(ExtensionType.extended_master_secret).u16(0)
  // RFC 8422 §5.2: only with a suite that has points.
  if (offered.hasPointFormats && suite.keyExchange === 'ecdhe')
    writer.u16(ExtensionType.ec_point_formats).u16(2).u8(1).u8(0)
  if (hasSessionTicket) writer.u16(ExtensionType.session_ticket).u16(0)
  if (staples.ocsp !== undefined) writer.u16(ExtensionType.status_request).u16(0)
  if (staples.sct !== undefined) writer.u16(ExtensionType.signed_certificate_timestamp).opaque16(staples.sct)
  if (recordSizeLimit !== undefined) writer.u16(ExtensionType.record_size_limit).u16(2).u16(recordSizeLimit)
  if (alpnProtocol !== undefined) {
    const name = Uint8Array.from(alpnProtocol, (char) => char.charCodeAt(0))
    writer.u16(ExtensionType.application_layer_protocol_negotiation)
    writer.vector16((body) => body.vector16((names) => names.opaque8(name)))
  }
  return writer.finish()
}

/** `opaque ASN.1Cert<1..2^24-1>; struct { ASN.1Cert certificate_list<0..2^24-1>; } Certificate;` RFC 5246 §7.4.2. */
export function writeCertificate12(chain: readonly Uint8Array[]): Uint8Array {
  const size = chain.reduce((sum, certificate) => sum + certificate.length + 3, 7)
  return message(
    HandshakeType.certificate,
    (body) => {
      body.vector24((list) => {
        for (const certificate of chain) list.opaque24(certificate)
      })
    },
    size,
  )
}

/** CertificateStatusType ocsp. RFC 6066 §8. */
const OCSP = 1

/** `struct { CertificateStatusType status_type = 1; opaque OCSPResponse<1..2^24-1>; } CertificateStatus;` RFC 6066 §8. */
export function writeCertificateStatus(ocsp: Uint8Array): Uint8Array {
  return message(HandshakeType.certificate_status, (body) => body.u8(OCSP).opaque24(ocsp), ocsp.length + 8)
}

/** ECCurveType named_curve. RFC 8422 §5.4. */
const NAMED_CURVE = 3

/** `struct { ECCurveType curve_type = 3; NamedCurve namedcurve; opaque point<1..2^8-1>; } ServerECDHParams;` */
export function ecdhParameters(group: NamedGroup, share: Uint8Array): Uint8Array {
  return new Writer(share.length + 4).u8(NAMED_CURVE).u16(group.code).opaque8(share).finish()
}

/** What ServerKeyExchange signs: client random ‖ server random ‖ ServerECDHParams. RFC 8422 §5.4. */
export function keyExchangeContent(
  { client, server }: { readonly client: Uint8Array; readonly server: Uint8Array },
  parameters: Uint8Array,
): Uint8Array {
  const size = client.length + server.length + parameters.length
  return new Writer(size).opaque(client).opaque(server).opaque(parameters).finish()
}

/** `struct { ServerECDHParams params; SignatureAndHashAlgorithm algorithm; opaque signature<0..2^16-1>; }` */
export function writeServerKeyExchange(
  parameters: Uint8Array,
  scheme: SignatureSchemeName,
  signature: Uint8Array,
): Uint8Array {
  return message(
    HandshakeType.server_key_exchange,
    (body) => body.opaque(parameters).u16(SIGNATURE_SCHEMES[scheme].code).opaque16(signature),
    parameters.length + signature.length + 8,
  )
}

/** RFC 5246 §7.4.5: empty. */
export const SERVER_HELLO_DONE = Uint8Array.of(HandshakeType.server_hello_done, 0, 0, 0)

/**
 * The client's point: `opaque point<1..2^8-1>`. RFC 8422 §5.7. A view.
 *
 * @throws {TlsError} ERR_TLS_DECODE
 */
export function readClientKeyExchange(body: Uint8Array): Uint8Array {
  return readOnly(body, (reader) => reader.opaque8())
}

/**
 * `struct { public-key-encrypted PreMasterSecret pre_master_secret; } EncryptedPreMasterSecret;` with two bytes of length
 * in front. RFC 5246 §7.4.7.1. A view.
 *
 * @throws {TlsError} ERR_TLS_DECODE
 */
export function readEncryptedPremaster(body: Uint8Array): Uint8Array {
  return readOnly(body, (reader) => reader.opaque16())
}

/** The one field of a ClientKeyExchange. */
function readOnly(body: Uint8Array, read: (reader: Reader) => Uint8Array): Uint8Array {
  try {
    const reader = new Reader(body)
    const field = read(reader)
    reader.end()
    return field
  } catch (error) {
    if (error instanceof DecodeError)
      throw new TlsError('ERR_TLS_DECODE', { detail: `ClientKeyExchange: ${error.message}`, cause: error })
    throw error
  }
}

/**
 * `struct { uint32 ticket_lifetime_hint; opaque ticket<0..2^16-1>; } NewSessionTicket;` RFC 5077 §3.3.
 *
 * @param ticket undefined: there is none after all, though ServerHello promised one.
 */
export function writeNewSessionTicket12(lifetimeSeconds: number, ticket: Uint8Array | undefined): Uint8Array {
  return message(HandshakeType.new_session_ticket, (body) =>
    body.u32(ticket === undefined ? 0 : lifetimeSeconds).opaque16(ticket ?? new Uint8Array(0)),
  )
}

// What a server staples to its certificate: an OCSP response and signed certificate timestamps. RFC 8446 §4.4.2.1.
//
// Both come from an operator's file and go to every client, so rubbish is refused when it is loaded.
import { DecodeError, DER_TAG, Reader, readInside, Writer } from '@latchkey/core'
import { TlsError } from '../errors.ts'
import type { ClientHello } from '../handshake/client-hello.ts'
import { ExtensionType } from '../handshake/extension-type.ts'

/** What is stapled to a leaf certificate. */
export interface Staples {
  /** OCSPResponse, DER. */
  readonly ocsp?: Uint8Array | undefined
  /** SignedCertificateTimestampList, its two-byte length included. */
  readonly sct?: Uint8Array | undefined
}

/** What the first CertificateEntry may carry. */
export interface LeafExtensions extends Staples {
  /** DelegatedCredential. RFC 9345 §4.1.1. */
  readonly delegatedCredential?: Uint8Array | undefined
}

/** CertificateStatusType. RFC 6066 §8. */
const OCSP = 1

/** Those of `staples` that the client asked for. RFC 8446 §4.4.2. */
export function requestedStaples(
  { requestsOcsp, requestsTimestamps }: Pick<ClientHello, 'requestsOcsp' | 'requestsTimestamps'>,
  { ocsp, sct }: Staples,
): Staples {
  return { ocsp: requestsOcsp ? ocsp : undefined, sct: requestsTimestamps ? sct : undefined }
}

/**
 * The extensions of a CertificateEntry, without the two bytes of length in front of them. Staple only what the client
 * asked for (RFC 8446 §4.4.2).
 *
 *     status_request:                struct { uint8 status_type = 1; opaque OCSPResponse<1..2^24-1>; } CertificateStatus;
 *     signed_certificate_timestamp:  SignedCertificateTimestampList
 *     delegated_credential:          DelegatedCredential
 *
 * @returns bytes the caller owns; empty if there is nothing to staple.
 * @see RFC 8446 §4.4.2.1, RFC 6962 §3.3, RFC 9345 §4.1.1
 */
export function writeCertificateEntryExtensions({
  ocsp,
  sct,
  delegatedCredential,
}: LeafExtensions): Uint8Array {
  const bytes = (ocsp?.length ?? 0) + (sct?.length ?? 0) + (delegatedCredential?.length ?? 0)
  const writer = new Writer(bytes + 16)
  if (ocsp !== undefined) {
    writer.u16(ExtensionType.status_request).vector16((status) => status.u8(OCSP).opaque24(ocsp))
  }
  if (sct !== undefined) writer.u16(ExtensionType.signed_certificate_timestamp).opaque16(sct)
  if (delegatedCredential !== undefined)
    writer.u16(ExtensionType.delegated_credential).opaque16(delegatedCredential)
  return writer.finish()
}

/**
 * The body of a client's status_request extension: whether it asks for OCSP. Which responders it trusts and what it would
 * have asked them does not change the one response we have. (A client asks for timestamps with an empty body.)
 *
 *     struct {
 *         CertificateStatusType status_type;            ocsp = 1
 *         ResponderID responder_id_list<0..2^16-1>;
 *         Extensions  request_extensions<0..2^16-1>;
 *     } CertificateStatusRequest;
 *
 * @throws {DecodeError}
 * @see RFC 6066 §8
 */
export function readStatusRequest(reader: Reader): boolean {
  if (reader.u8() !== OCSP) {
    reader.rest()
    return false
  }
  reader.opaque16()
  reader.opaque16()
  return true
}

// ── signed certificate timestamps ─────────────────────────────────────────────────────────────────────────────────

/** Browsers ask for two or three; each costs every handshake about 120 bytes. */
const MAX_TIMESTAMPS = 16
const SCT_VERSION_1 = 0
const LOG_ID_BYTES = 32
const TIMESTAMP_BYTES = 8

/** One timestamp of RFC 6962: which log has seen the certificate, and when. */
export interface SignedCertificateTimestamp {
  /** SHA-256 of the log's public key, 32 bytes. A view. */
  readonly logId: Uint8Array
  /** Milliseconds since the epoch. */
  readonly timestampMs: bigint
}

/**
 * Reads a SignedCertificateTimestampList as a file has it. The signatures are not checked: that takes the logs' keys,
 * and is the client's business.
 *
 *     opaque SerializedSCT<1..2^16-1>;
 *     struct { SerializedSCT sct_list<1..2^16-1>; } SignedCertificateTimestampList;
 *
 * @throws {TlsError} ERR_TLS_CREDENTIAL
 * @see RFC 6962 §3.3
 */
export function readSctList(bytes: Uint8Array): readonly SignedCertificateTimestamp[] {
  return reading('signed certificate timestamps', () => {
    const reader = new Reader(bytes)
    const list = reader.vector16()
    reader.end()
    const timestamps: SignedCertificateTimestamp[] = []
    do {
      if (timestamps.length === MAX_TIMESTAMPS)
        unfit(`more than ${MAX_TIMESTAMPS} signed certificate timestamps`)
      timestamps.push(readTimestamp(list.vector16()))
    } while (list.left > 0)
    return timestamps
  })
}

/**
 *     struct {
 *         Version sct_version;          v1 = 0; later versions have an extension of their own (RFC 9162 §7.1)
 *         LogID id;
 *         uint64 timestamp;
 *         CtExtensions extensions;      opaque<0..2^16-1>
 *         digitally-signed struct { … };     hash, signature algorithm, opaque signature<0..2^16-1>
 *     } SignedCertificateTimestamp;
 *
 * RFC 6962 §3.2
 */
function readTimestamp(reader: Reader): SignedCertificateTimestamp {
  const version = reader.u8()
  if (version !== SCT_VERSION_1) unfit(`signed certificate timestamp of version ${version + 1}`)
  const logId = reader.opaque(LOG_ID_BYTES)
  const timestamp = reader.opaque(TIMESTAMP_BYTES)
  reader.opaque16()
  reader.u16()
  if (reader.opaque16().length === 0) unfit('signed certificate timestamp without a signature')
  reader.end()
  return { logId, timestampMs: new DataView(timestamp.buffer, timestamp.byteOffset).getBigUint64(0) }
}

// ── OCSP ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A response with its responder's certificate takes about 2,000 bytes; every client would pay for more. */
const MAX_OCSP_RESPONSE_BYTES = 16_384

/** Tags that no key or certificate we read has. */
const ENUMERATED = 0x0a
const EXPLICIT_0 = 0xa0

/** id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1. */
const BASIC_RESPONSE = Uint8Array.of(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01)

/** OCSPResponseStatus. RFC 6960 §4.2.1; 4 is not used. */
const RESPONSE_STATUS = [
  'successful',
  'malformedRequest',
  'internalError',
  'tryLater',
  'unused',
  'sigRequired',
  'unauthorized',
] as const

/**
 * Whether bytes are a successful OCSP response from outside: what is in it, for which certificate, until when and by whom
 * signed, is not looked at.
 *
 *     OCSPResponse  ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT ResponseBytes OPTIONAL }
 *     ResponseBytes ::= SEQUENCE { responseType OBJECT IDENTIFIER, response OCTET STRING }
 *
 * @throws {TlsError} ERR_TLS_CREDENTIAL
 * @see RFC 6960 §4.2.1
 */
export function checkOcspResponse(bytes: Uint8Array): void {
  if (bytes.length > MAX_OCSP_RESPONSE_BYTES)
    unfit(`OCSP response of ${bytes.length} bytes, at most ${MAX_OCSP_RESPONSE_BYTES}`)
  reading('OCSP response', () => {
    const response = only(new Reader(bytes), DER_TAG.sequence)
    const status = readInside(response, ENUMERATED)
    const code = status.u8()
    status.end()
    if (code !== 0) unfit(`OCSP response is no answer: ${RESPONSE_STATUS[code] ?? code}`)
    const responseBytes = only(readInside(response, EXPLICIT_0), DER_TAG.sequence)
    response.end()
    if (!isBasicResponse(readInside(responseBytes, DER_TAG.oid).rest()))
      unfit('OCSP response is not a basic response')
    const basicResponse = readInside(responseBytes, DER_TAG.octetString)
    responseBytes.end()
    only(basicResponse, DER_TAG.sequence)
  })
}

function isBasicResponse(type: Uint8Array): boolean {
  return type.length === BASIC_RESPONSE.length && type.every((byte, index) => byte === BASIC_RESPONSE[index])
}

/** The inside of the one DER element that a reader holds. */
function only(reader: Reader, tag: number): Reader {
  const inside = readInside(reader, tag)
  reader.end()
  return inside
}

function unfit(detail: string): never {
  throw new TlsError('ERR_TLS_CREDENTIAL', { detail })
}

/** Runs `read`; bytes of the wrong shape are a credential that cannot be served. */
function reading<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof DecodeError)
      throw new TlsError('ERR_TLS_CREDENTIAL', { detail: `${what}: ${cause.message}`, cause })
    throw cause
  }
}

// Certificate compression: the chain in fewer bytes, made once a credential. RFC 8879.
import { brotliCompressSync, constants, deflateSync } from 'node:zlib'
import { type Reader, Writer } from '@latchkey/core'
import { refuse } from '../errors.ts'
import { HANDSHAKE_HEADER_BYTES, HandshakeType } from '../handshake/handshake-type.ts'

/** The best before the search for the optimum: 0.1 ms a chain in place of 5, for 3 bytes in 100 more. */
const BROTLI_QUALITY = 9
/** 64 KiB, longer than any chain; with the default of 22 this quality takes 1 to 6 ms. */
const BROTLI_WINDOW_BITS = 16

interface CertificateCompressionRow {
  /** CertificateCompressionAlgorithm. RFC 8879 §7.3. */
  readonly code: number
  readonly compress: (bytes: Uint8Array) => Uint8Array
}

/**
 * In our order of preference: brotli, which Chromium asks for, makes the smaller message; zlib is what Safari asks for.
 * zstd (3) is left out: a third form of every chain in memory for clients that take one of these as well.
 */
export const CERTIFICATE_COMPRESSIONS = {
  brotli: {
    code: 2,
    compress: (bytes) =>
      brotliCompressSync(bytes, {
        params: {
          [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
          [constants.BROTLI_PARAM_LGWIN]: BROTLI_WINDOW_BITS,
          [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
        },
      }),
  },
  zlib: {
    code: 1,
    compress: (bytes) => deflateSync(bytes, { level: constants.Z_BEST_COMPRESSION }),
  },
} as const satisfies Record<string, CertificateCompressionRow>

export type CertificateCompression = keyof typeof CERTIFICATE_COMPRESSIONS

/** HandshakeType of CompressedCertificate. RFC 8879 §7.2. */
const COMPRESSED_CERTIFICATE = 25

/**
 * The whole CompressedCertificate message that stands for a Certificate message. About 0.1 ms of work: for the time a
 * credential is loaded, not for each handshake.
 *
 *     struct {
 *         CertificateCompressionAlgorithm algorithm;
 *         uint24 uncompressed_length;
 *         opaque compressed_certificate_message<1..2^24-1>;
 *     } CompressedCertificate;
 *
 * What is compressed is the body of the Certificate message: its handshake header is left out and not counted.
 *
 * @param message an encoded Certificate message, header included.
 * @returns bytes the caller owns.
 * @throws {TypeError} if `message` is anything else.
 * @see RFC 8879 §4
 */
export function compressCertificateMessage(
  message: Uint8Array,
  algorithm: CertificateCompression,
): Uint8Array {
  if (message[0] !== HandshakeType.certificate) throw new TypeError('not a Certificate message')
  const { code, compress } = CERTIFICATE_COMPRESSIONS[algorithm]
  const body = message.subarray(HANDSHAKE_HEADER_BYTES)
  const compressed = compress(body)
  return new Writer(compressed.length + 12)
    .u8(COMPRESSED_CERTIFICATE)
    .vector24((writer) => writer.u16(code).u24(body.length).opaque24(compressed))
    .finish()
}

/** CompressedCertificate messages by the code of their algorithm, best first. */
export type CompressedCertificates = ReadonlyMap<number, Uint8Array>

/** A Certificate message in every form that saves bytes; empty if none does. */
export function compressCertificate(message: Uint8Array): CompressedCertificates {
  const forms = new Map<number, Uint8Array>()
  for (const name of Object.keys(CERTIFICATE_COMPRESSIONS) as CertificateCompression[]) {
    const compressed = compressCertificateMessage(message, name)
    if (compressed.length < message.length) forms.set(CERTIFICATE_COMPRESSIONS[name].code, compressed)
  }
  return forms
}

/** The best form a client can take; undefined: send the Certificate message as it is. */
export function selectCompressedCertificate(
  forms: CompressedCertificates,
  offered: readonly number[] | undefined,
): Uint8Array | undefined {
  if (offered === undefined) return undefined
  for (const [code, message] of forms) {
    if (offered.includes(code)) return message
  }
  return undefined
}

/**
 * The body of a compress_certificate extension. Codes we do not know stay in the list.
 *
 *     struct { CertificateCompressionAlgorithm algorithms<2..2^8-2>; } CertificateCompressionAlgorithms;
 *
 * The one-byte length bounds the list to 127 codes. RFC 8879 does not forbid to name an algorithm twice; no client does
 * it, and BoringSSL refuses it too.
 *
 * @throws {TlsError} ERR_TLS_DECODE, ERR_TLS_ILLEGAL_PARAMETER
 * @throws {DecodeError}
 * @see RFC 8879 §3
 */
export function readCompressCertificate(reader: Reader): readonly number[] {
  const list = reader.vector8()
  if (list.left === 0 || list.left % 2 !== 0)
    refuse('ERR_TLS_DECODE', `compress_certificate of ${list.left} bytes`)
  const codes: number[] = []
  while (list.left > 0) {
    const code = list.u16()
    if (codes.includes(code)) refuse('ERR_TLS_ILLEGAL_PARAMETER', `certificate compression ${code} twice`)
    codes.push(code)
  }
  return codes
}

// The extensions of a ClientHello that only TLS 1.2 looks at. RFC 5077 §3.2, RFC 5746 §3.2, RFC 7627
// §5.1, RFC 8422 §5.1.2.
import { DecodeError, Reader } from '@latchkey/core'
import { refuse, TlsError } from '../errors.ts'
import type { ClientHello, Extension } from '../handshake/client-hello.ts'
import { ExtensionType } from '../handshake/extension-type.ts'

/** TLS_EMPTY_RENEGOTIATION_INFO_SCSV: renegotiation_info as a cipher suite. RFC 5746 §3.3. */
const EMPTY_RENEGOTIATION_INFO_SCSV = 0x00ff
/** ECPointFormat uncompressed. RFC 8422 §5.1.2. */
const UNCOMPRESSED = 0

/** What the client offers, and is answered in ServerHello. */
export interface HelloExtensions12 {
  readonly hasExtendedMasterSecret: boolean
  readonly hasRenegotiationInfo: boolean
  readonly hasPointFormats: boolean
  /** A view; empty: the client has no ticket and would like one. Undefined: it does not know tickets. RFC 5077 §3.2. */
  readonly sessionTicket: Uint8Array | undefined
}

/** @throws {TlsError} ERR_TLS_DECODE, ERR_TLS_ILLEGAL_PARAMETER, ERR_TLS_HANDSHAKE_FAILURE */
export function readHelloExtensions12({ extensions, cipherSuites }: ClientHello): HelloExtensions12 {
  let hasExtendedMasterSecret = false
  let hasRenegotiationInfo = cipherSuites.includes(EMPTY_RENEGOTIATION_INFO_SCSV)
  let hasPointFormats = false
  let sessionTicket: Uint8Array | undefined
  for (const extension of extensions) {
    switch (extension.type) {
      case ExtensionType.extended_master_secret:
        read(extension, () => undefined)
        hasExtendedMasterSecret = true
        break
      case ExtensionType.renegotiation_info:
        requireInitial(read(extension, (reader) => reader.opaque8()))
        hasRenegotiationInfo = true
        break
      case ExtensionType.ec_point_formats:
        requireUncompressed(read(extension, (reader) => reader.opaque8()))
        hasPointFormats = true
        break
      case ExtensionType.session_ticket:
        // Without a length of its own: the extension is the ticket (RFC 5077 §4).
        sessionTicket = extension.body
        break
      default:
    }
  }
  return { hasExtendedMasterSecret, hasRenegotiationInfo, hasPointFormats, sessionTicket }
}

function read<T>({ type, body }: Extension, parse: (reader: Reader) => T): T {
  try {
    const reader = new Reader(body)
    const value = parse(reader)
    reader.end()
    return value
  } catch (error) {
    if (error instanceof DecodeError)
      throw new TlsError('ERR_TLS_DECODE', { detail: `extension ${type}: ${error.message}`, cause: error })
    throw error
  }
}

/** RFC 5746 §3.6: on a new connection there is nothing to be bound to. */
function requireInitial(renegotiatedConnection: Uint8Array): void {
  if (renegotiatedConnection.length > 0)
    refuse('ERR_TLS_HANDSHAKE_FAILURE', 'renegotiation_info is not empty')
}

function requireUncompressed(formats: Uint8Array): void {
  if (formats.length === 0) refuse('ERR_TLS_DECODE', 'empty ec_point_formats')
  if (!formats.includes(UNCOMPRESSED))
    refuse('ERR_TLS_ILLEGAL_PARAMETER', 'ec_point_formats without uncompressed')
}

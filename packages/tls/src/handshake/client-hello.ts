// ClientHello: the one message an unknown peer gets parsed. RFC 8446 §4.1.2, §4.2.
import { DecodeError, Reader } from '@latchkey/core'
import { readCompressCertificate } from '../credential/certificate-compression.ts'
import { readStatusRequest } from '../credential/stapling.ts'
import { refuse, TlsError } from '../errors.ts'
import { ExtensionType } from './extension-type.ts'

/** Most of each list a hello may carry; far above any client, far below what would cost us. */
export const HELLO_LIMITS = {
  cipherSuites: 512,
  extensions: 128,
  keyShares: 16,
  groups: 64,
  signatureSchemes: 128,
  alpnProtocols: 32,
  /** PSKs that are tried; more may be offered. */
  psks: 2,
  supportedVersions: 64,
} as const

/** A whole ClientHello may not be longer. Browsers with a post-quantum share send about 2,000 bytes. */
export const MAX_CLIENT_HELLO_BYTES = 16_384

export interface Extension {
  readonly type: number
  readonly body: Uint8Array
}

export interface KeyShareEntry {
  readonly group: number
  readonly keyExchange: Uint8Array
}

/** OfferedPsks. RFC 8446 §4.2.11. */
export interface OfferedPsks {
  /** Identities and their binders, those we would try. */
  readonly psks: readonly { readonly identity: Uint8Array; readonly binder: Uint8Array }[]
  /** Bytes of the binders list with its length: the end of the message, which binders do not cover. */
  readonly bindersBytes: number
}

/**
 * A parsed ClientHello. Code points we do not know, GREASE among them, stay in the lists: whoever looks for something
 * passes over them. Fields are views of the message; `undefined` means the extension is absent.
 */
export interface ClientHello {
  readonly legacyVersion: number
  readonly random: Uint8Array
  readonly legacySessionId: Uint8Array
  readonly cipherSuites: readonly number[]
  readonly legacyCompressionMethods: Uint8Array
  /** In order, as received. */
  readonly extensions: readonly Extension[]
  /** Lower case; empty if the client named no server. */
  readonly serverName: string
  readonly supportedVersions: readonly number[] | undefined
  readonly supportedGroups: readonly number[] | undefined
  readonly signatureAlgorithms: readonly number[] | undefined
  readonly keyShares: readonly KeyShareEntry[] | undefined
  readonly alpnProtocols: readonly string[] | undefined
  readonly preSharedKey: OfferedPsks | undefined
  readonly pskKeyExchangeModes: Uint8Array | undefined
  readonly hasEarlyData: boolean
  /** Whether an OCSP response may be stapled. RFC 6066 §8. */
  readonly requestsOcsp: boolean
  /** Whether signed certificate timestamps may be stapled. RFC 6962 §3.3.1. */
  readonly requestsTimestamps: boolean
  /** CertificateCompressionAlgorithms. RFC 8879 §3. */
  readonly certificateCompressions: readonly number[] | undefined
  /** Most bytes of plaintext in one record to the client. RFC 8449 §4. */
  readonly recordSizeLimit: number | undefined
  /** What a delegated key may sign with; undefined: no delegated credentials. RFC 9345 §4.1.1. */
  readonly delegatedCredentialSchemes: readonly number[] | undefined
}

/**
 *     struct {
 *         ProtocolVersion legacy_version = 0x0303;
 *         Random random;
 *         opaque legacy_session_id<0..32>;
 *         CipherSuite cipher_suites<2..2^16-2>;
 *         opaque legacy_compression_methods<1..2^8-1>;
 *         Extension extensions<8..2^16-1>;
 *     } ClientHello;
 *
 * @throws {TlsError} ERR_TLS_DECODE, ERR_TLS_ILLEGAL_PARAMETER, ERR_TLS_PROTOCOL_VERSION
 */
export function readClientHello(body: Uint8Array): ClientHello {
  try {
    return parse(new Reader(body))
  } catch (error) {
    if (error instanceof DecodeError)
      throw new TlsError('ERR_TLS_DECODE', { detail: `ClientHello: ${error.message}`, cause: error })
    throw error
  }
}

const SSL3 = 0x0300

function parse(reader: Reader): ClientHello {
  const legacyVersion = reader.u16()
  if (legacyVersion <= SSL3)
    refuse('ERR_TLS_PROTOCOL_VERSION', `legacy_version 0x${legacyVersion.toString(16)}`)
  const random = reader.opaque(32)
  const legacySessionId = reader.opaque8()
  if (legacySessionId.length > 32)
    refuse('ERR_TLS_DECODE', `legacy_session_id of ${legacySessionId.length} bytes`)
  const cipherSuites = u16List(reader.vector16(), HELLO_LIMITS.cipherSuites, 'cipher_suites')
  const legacyCompressionMethods = reader.opaque8()
  if (legacyCompressionMethods.length === 0) refuse('ERR_TLS_DECODE', 'empty legacy_compression_methods')
  if (!legacyCompressionMethods.includes(0)) refuse('ERR_TLS_ILLEGAL_PARAMETER', 'no null compression')
  // The block may be absent in a TLS 1.2 hello (RFC 5246 §7.4.1.2).
  const extensions = reader.left === 0 ? [] : readExtensions(reader.vector16())
  reader.end()
  return readKnownExtensions({
    legacyVersion,
    random,
    legacySessionId,
    cipherSuites,
    legacyCompressionMethods,
    extensions,
  })
}

/** Each type at most once (RFC 8446 §4.2), pre_shared_key last (§4.2.11). */
function readExtensions(reader: Reader): Extension[] {
  const extensions: Extension[] = []
  const seen = new Set<number>()
  while (reader.left > 0) {
    const type = reader.u16()
    const body = reader.opaque16()
    if (seen.has(type)) refuse('ERR_TLS_DECODE', `extension ${type} twice`)
    if (seen.has(ExtensionType.pre_shared_key))
      refuse('ERR_TLS_ILLEGAL_PARAMETER', 'pre_shared_key is not the last extension')
    if (extensions.length === HELLO_LIMITS.extensions)
      refuse('ERR_TLS_ILLEGAL_PARAMETER', 'too many extensions')
    seen.add(type)
    extensions.push({ type, body })
  }
  return extensions
}

type Unread = Pick<
  ClientHello,
  'legacyVersion' | 'random' | 'legacySessionId' | 'cipherSuites' | 'legacyCompressionMethods' | 'extensions'
>

function readKnownExtensions(unread: Unread): ClientHello {
  let serverName = ''
  let supportedVersions: number[] | undefined
  let supportedGroups: number[] | undefined
  let signatureAlgorithms: number[] | undefined
  let keyShares: KeyShareEntry[] | undefined
  let alpnProtocols: string[] | undefined
  let preSharedKey: OfferedPsks | undefined
  let pskKeyExchangeModes: Uint8Array | undefined
  let hasEarlyData = false
  let requestsOcsp = false
  let requestsTimestamps = false
  let certificateCompressions: readonly number[] | undefined
  let recordSizeLimit: number | undefined
  let delegatedCredentialSchemes: number[] | undefined
  for (const { type, body } of unread.extensions) {
    const reader = new Reader(body)
    switch (type) {
      case ExtensionType.server_name:
        serverName = readServerName(reader)
        break
      case ExtensionType.supported_versions:
        supportedVersions = u16List(reader.vector8(), HELLO_LIMITS.supportedVersions, 'supported_versions')
        break
      case ExtensionType.supported_groups:
        supportedGroups = u16List(reader.vector16(), HELLO_LIMITS.groups, 'supported_groups')
        break
      case ExtensionType.signature_algorithms:
        signatureAlgorithms = u16List(
          reader.vector16(),
          HELLO_LIMITS.signatureSchemes,
          'signature_algorithms',
        )
        break
      case ExtensionType.signature_algorithms_cert:
        u16List(reader.vector16(), HELLO_LIMITS.signatureSchemes, 'signature_algorithms_cert')
        break
      case ExtensionType.key_share:
        keyShares = readKeyShares(reader.vector16())
        break
      case ExtensionType.application_layer_protocol_negotiation:
        alpnProtocols = readAlpnProtocols(reader.vector16())
        break
      case ExtensionType.pre_shared_key:
        preSharedKey = readOfferedPsks(reader)
        break
      case ExtensionType.psk_key_exchange_modes:
        pskKeyExchangeModes = reader.opaque8()
        if (pskKeyExchangeModes.length === 0) refuse('ERR_TLS_DECODE', 'empty psk_key_exchange_modes')
        break
      case ExtensionType.early_data:
        hasEarlyData = true
        break
      case ExtensionType.status_request:
        requestsOcsp = readStatusRequest(reader)
        break
      case ExtensionType.signed_certificate_timestamp:
        requestsTimestamps = true
        break
      case ExtensionType.compress_certificate:
        certificateCompressions = readCompressCertificate(reader)
        break
      case ExtensionType.record_size_limit:
        recordSizeLimit = readRecordSizeLimit(reader)
        break
      case ExtensionType.delegated_credential:
        delegatedCredentialSchemes = u16List(
          reader.vector16(),
          HELLO_LIMITS.signatureSchemes,
          'delegated_credential',
        )
        break
      default:
        continue
    }
    reader.end()
  }
  return {
    legacyVersion: unread.legacyVersion,
    random: unread.random,
    legacySessionId: unread.legacySessionId,
    cipherSuites: unread.cipherSuites,
    legacyCompressionMethods: unread.legacyCompressionMethods,
    extensions: unread.extensions,
    serverName,
    supportedVersions,
    supportedGroups,
    signatureAlgorithms,
    keyShares,
    alpnProtocols,
    preSharedKey,
    pskKeyExchangeModes,
    hasEarlyData,
    requestsOcsp,
    requestsTimestamps,
    certificateCompressions,
    recordSizeLimit,
    delegatedCredentialSchemes,
  }
}

/** A non-empty list of two-byte code points. */
function u16List(reader: Reader, limit: number, field: string): number[] {
  if (reader.left === 0 || reader.left % 2 !== 0) refuse('ERR_TLS_DECODE', `${field} of ${reader.left} bytes`)
  if (reader.left / 2 > limit) refuse('ERR_TLS_ILLEGAL_PARAMETER', `more than ${limit} ${field}`)
  const list: number[] = []
  while (reader.left > 0) list.push(reader.u16())
  return list
}

const HOST_NAME = 0
const MAX_SERVER_NAME_BYTES = 255

/** ServerNameList with exactly one host_name. RFC 6066 §3. */
function readServerName(reader: Reader): string {
  const list = reader.vector16()
  if (list.u8() !== HOST_NAME) refuse('ERR_TLS_DECODE', 'server_name of unknown type')
  const name = list.opaque16()
  list.end()
  if (name.length === 0 || name.length > MAX_SERVER_NAME_BYTES)
    refuse('ERR_TLS_DECODE', `host_name of ${name.length} bytes`)
  return hostName(name)
}

const DOT = 0x2e

/** ASCII letters, digits and punctuation without a trailing dot, in lower case. */
function hostName(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    if (byte <= 0x20 || byte >= 0x7f) refuse('ERR_TLS_DECODE', 'host_name is not printable ASCII')
    text += String.fromCharCode(byte)
  }
  if (bytes[bytes.length - 1] === DOT) refuse('ERR_TLS_DECODE', 'host_name ends with a dot')
  return text.toLowerCase()
}

/** KeyShareClientHello. RFC 8446 §4.2.8: an empty list asks for a HelloRetryRequest; one entry a group. */
function readKeyShares(reader: Reader): KeyShareEntry[] {
  const shares: KeyShareEntry[] = []
  while (reader.left > 0) {
    const group = reader.u16()
    const keyExchange = reader.opaque16()
    if (keyExchange.length === 0) refuse('ERR_TLS_DECODE', 'empty key_exchange')
    if (shares.some((share) => share.group === group))
      refuse('ERR_TLS_ILLEGAL_PARAMETER', `two shares for group ${group}`)
    if (shares.length === HELLO_LIMITS.keyShares) refuse('ERR_TLS_ILLEGAL_PARAMETER', 'too many key shares')
    shares.push({ group, keyExchange })
  }
  return shares
}

/** ProtocolNameList. RFC 7301 §3.1. Names are compared as bytes: Latin-1 keeps them apart one to one. */
function readAlpnProtocols(reader: Reader): string[] {
  if (reader.left === 0) refuse('ERR_TLS_DECODE', 'empty ALPN list')
  const names: string[] = []
  while (reader.left > 0) {
    const name = reader.opaque8()
    if (name.length === 0) refuse('ERR_TLS_DECODE', 'empty ALPN name')
    if (names.length === HELLO_LIMITS.alpnProtocols)
      refuse('ERR_TLS_ILLEGAL_PARAMETER', 'too many ALPN names')
    names.push(String.fromCharCode(...name))
  }
  return names
}

const MIN_RECORD_SIZE_LIMIT = 64

/** `uint16 RecordSizeLimit;` RFC 8449 §4. More than a record can hold is no error: it may be meant for another version. */
function readRecordSizeLimit(reader: Reader): number {
  const limit = reader.u16()
  if (limit < MIN_RECORD_SIZE_LIMIT) refuse('ERR_TLS_ILLEGAL_PARAMETER', `record_size_limit ${limit}`)
  return limit
}

/** OfferedPsks. RFC 8446 §4.2.11. Its form is checked even where no PSK is ever taken. */
function readOfferedPsks(reader: Reader): OfferedPsks {
  const identities: Uint8Array[] = []
  const identityList = reader.vector16()
  do {
    const identity = identityList.opaque16()
    if (identity.length === 0) refuse('ERR_TLS_DECODE', 'empty PSK identity')
    identityList.u32() // obfuscated_ticket_age: of use for early data only
    identities.push(identity)
  } while (identityList.left > 0)
  const bindersBytes = reader.left
  const binders: Uint8Array[] = []
  const binderList = reader.vector16()
  do {
    // `PskBinderEntry<32..255>`: one that is shorter does not verify, as any of a wrong length.
    binders.push(binderList.opaque8())
  } while (binderList.left > 0)
  if (identities.length !== binders.length) {
    refuse('ERR_TLS_ILLEGAL_PARAMETER', `${identities.length} PSK identities, ${binders.length} binders`)
  }
  const psks = identities
    .slice(0, HELLO_LIMITS.psks)
    .map((identity, index) => ({ identity, binder: binders[index] as Uint8Array }))
  return { psks, bindersBytes }
}

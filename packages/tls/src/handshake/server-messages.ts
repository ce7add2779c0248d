// The messages a TLS 1.3 server writes. RFC 8446 §4.
import { allocate, Writer } from '@latchkey/core'
import type { CipherSuite } from './cipher-suite.ts'
import { ExtensionType } from './extension-type.ts'
import { HandshakeType } from './handshake-type.ts'
import type { NamedGroup } from './named-group.ts'
import { TLS12, TLS13 } from './protocol-version.ts'
import { SIGNATURE_SCHEMES, type SignatureSchemeName } from './signature-scheme.ts'

const NULL_COMPRESSION = 0
const NONE = new Uint8Array(0)

/** Every handshake message: type, three bytes of length, body. RFC 8446 §4. */
function message(type: number, body: (writer: Writer) => void, capacity = 256): Uint8Array {
  return new Writer(capacity).u8(type).vector24(body).finish()
}

export interface ServerHelloFields {
  readonly random: Uint8Array
  readonly legacySessionId: Uint8Array
  readonly suite: CipherSuite
  readonly group: NamedGroup
  readonly serverShare: Uint8Array
  /** Index of the PSK that is taken; undefined: none. */
  readonly selectedIdentity: number | undefined
}

/**
 *     struct {
 *         ProtocolVersion legacy_version = 0x0303;
 *         Random random;
 *         opaque legacy_session_id_echo<0..32>;
 *         CipherSuite cipher_suite;
 *         uint8 legacy_compression_method = 0;
 *         Extension extensions<6..2^16-1>;      as RFC 8448 has them
 *     } ServerHello;
 */
export function writeServerHello({
  random,
  legacySessionId,
  suite,
  group,
  serverShare,
  selectedIdentity,
}: ServerHelloFields): Uint8Array {
  return serverHello(random, legacySessionId, suite, (extensions) => {
    if (selectedIdentity !== undefined) {
      extensions.u16(ExtensionType.pre_shared_key).vector16((body) => body.u16(selectedIdentity))
    }
    extensions.u16(ExtensionType.key_share).vector16((body) => body.u16(group.code).opaque16(serverShare))
  })
}

/** ServerHello.random that makes it a HelloRetryRequest: SHA-256 of "HelloRetryRequest". RFC 8446 §4.1.3. */
// biome-ignore format: eight bytes a row
export const HELLO_RETRY_REQUEST_RANDOM = Uint8Array.of(
  0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11,
  0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
  0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e,
  0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
)

/** A ServerHello that names the group it wants a share for. No cookie: we keep state. RFC 8446 §4.1.4. */
export function writeHelloRetryRequest(
  legacySessionId: Uint8Array,
  suite: CipherSuite,
  group: NamedGroup,
): Uint8Array {
  return serverHello(HELLO_RETRY_REQUEST_RANDOM, legacySessionId, suite, (extensions) => {
    extensions.u16(ExtensionType.key_share).vector16((body) => body.u16(group.code))
  })
}

function serverHello(
  random: Uint8Array,
  legacySessionId: Uint8Array,
  suite: CipherSuite,
  keyShare: (writer: Writer) => void,
): Uint8Array {
  return message(HandshakeType.server_hello, (body) => {
    body.u16(TLS12).opaque(random).opaque8(legacySessionId).u16(suite.code).u8(NULL_COMPRESSION)
    body.vector16((extensions) => {
      keyShare(extensions)
      extensions.u16(ExtensionType.supported_versions).vector16((version) => version.u16(TLS13))
    })
  })
}

/**
 * RFC 8446 §4.3.1: only what the client offered. `hasServerName`: the empty acknowledgement of RFC 6066 §3;
 * `recordSizeLimit`: ours, RFC 8449 §4.
 */
export function writeEncryptedExtensions({
  alpnProtocol,
  hasServerName,
  recordSizeLimit,
}: {
  alpnProtocol: string | undefined
  hasServerName: boolean
  recordSizeLimit: number | undefined
}): Uint8Array {
  return message(
    HandshakeType.encrypted_extensions,
    (body) => {
      body.vector16((extensions) => {
        if (hasServerName) extensions.u16(ExtensionType.server_name).u16(0)
        if (recordSizeLimit !== undefined)
          extensions.u16(ExtensionType.record_size_limit).u16(2).u16(recordSizeLimit)
        if (alpnProtocol !== undefined) {
          extensions.u16(ExtensionType.application_layer_protocol_negotiation).vector16((alpn) => {
            alpn.vector16((names) => names.vector8((name) => writeLatin1(name, alpnProtocol)))
          })
        }
      })
    },
    64,
  )
}

function writeLatin1(writer: Writer, text: string): void {
  for (let index = 0; index < text.length; index++) writer.u8(text.charCodeAt(index))
}

/**
 *     struct { opaque cert_data<1..2^24-1>; Extension extensions<0..2^16-1>; } CertificateEntry;
 *     struct { opaque certificate_request_context<0..2^8-1>; CertificateEntry certificate_list<0..2^24-1>; } Certificate;
 *
 * @param leafExtensions those of the first entry, without their length
 */
export function writeCertificate(
  chain: readonly Uint8Array[],
  leafExtensions: Uint8Array = NONE,
): Uint8Array {
  const size = chain.reduce((sum, certificate) => sum + certificate.length + 5, 8 + leafExtensions.length)
  return message(
    HandshakeType.certificate,
    (body) => {
      body.u8(0).vector24((list) => {
        for (const [index, certificate] of chain.entries())
          list.opaque24(certificate).opaque16(index === 0 ? leafExtensions : NONE)
      })
    },
    size,
  )
}

export function writeCertificateVerify(scheme: SignatureSchemeName, signature: Uint8Array): Uint8Array {
  return message(HandshakeType.certificate_verify, (body) =>
    body.u16(SIGNATURE_SCHEMES[scheme].code).opaque16(signature),
  )
}

export function writeFinished(verifyData: Uint8Array): Uint8Array {
  return message(HandshakeType.finished, (body) => body.opaque(verifyData), 64)
}

export interface NewSessionTicketFields {
  readonly lifetimeSeconds: number
  readonly ageAdd: number
  readonly nonce: Uint8Array
  readonly ticket: Uint8Array
}

/** RFC 8446 §4.6.1; without extensions: early data is not offered. */
export function writeNewSessionTicket({
  lifetimeSeconds,
  ageAdd,
  nonce,
  ticket,
}: NewSessionTicketFields): Uint8Array {
  return message(HandshakeType.new_session_ticket, (body) => {
    body.u32(lifetimeSeconds).u32(ageAdd).opaque8(nonce).opaque16(ticket).u16(0)
  })
}

export function writeKeyUpdate(updateRequested: boolean): Uint8Array {
  return message(HandshakeType.key_update, (body) => body.u8(updateRequested ? 1 : 0), 8)
}

/** What precedes the transcript hash: 64 spaces, the context string, a zero. RFC 8446 §4.4.3. */
const CERTIFICATE_VERIFY_PREFIX = {
  server: new TextEncoder().encode(`${' '.repeat(64)}TLS 1.3, server CertificateVerify\0`),
  client: new TextEncoder().encode(`${' '.repeat(64)}TLS 1.3, client CertificateVerify\0`),
} as const

/** The content a CertificateVerify signs: 130 bytes with SHA-256, 146 with SHA-384. RFC 8446 §4.4.3. */
export function certificateVerifyContent(
  transcriptHash: Uint8Array,
  signer: keyof typeof CERTIFICATE_VERIFY_PREFIX = 'server',
): Uint8Array {
  const prefix = CERTIFICATE_VERIFY_PREFIX[signer]
  const content = allocate(prefix.length + transcriptHash.length)
  content.set(prefix)
  content.set(transcriptHash, prefix.length)
  return content
}

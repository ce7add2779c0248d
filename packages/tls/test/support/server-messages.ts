// Parsers of what a TLS 1.3 server sends. RFC 8446 §4.1.3, §4.3.1, §4.4.2, §4.4.3.
import { brotliDecompressSync, inflateSync } from 'node:zlib'
import { Reader } from '@latchkey/core'
import { toHex } from './bytes.ts'
import { EXTENSION, RETRY_RANDOM } from './code-points.ts'

export type Extensions = ReadonlyMap<number, Uint8Array>

export interface ServerHello {
  readonly random: Uint8Array
  readonly sessionId: Uint8Array
  readonly suite: number
  readonly isRetry: boolean
  readonly group: number
  /** Empty in HelloRetryRequest. */
  readonly share: Uint8Array
  /** Index of the PSK that was taken. */
  readonly selectedPsk: number | undefined
  readonly extensions: Extensions
}

/** @throws if a type comes twice. */
export function readExtensions(reader: Reader): Extensions {
  const extensions = new Map<number, Uint8Array>()
  while (reader.left > 0) {
    const type = reader.u16()
    if (extensions.has(type)) throw new Error(`extension ${type} twice`)
    extensions.set(type, reader.opaque16().slice())
  }
  return extensions
}

/** @throws if it is not a ServerHello or HelloRetryRequest of TLS 1.3 with the extensions it needs, and no other. */
export function readServerHello(body: Uint8Array): ServerHello {
  const reader = new Reader(body)
  if (reader.u16() !== 0x0303) throw new Error('ServerHello.legacy_version')
  const random = reader.opaque(32)
  const sessionId = reader.opaque8()
  const suite = reader.u16()
  if (reader.u8() !== 0) throw new Error('legacy_compression_method')
  const extensions = readExtensions(reader.vector16())
  reader.end()
  if (toHex(extensions.get(EXTENSION.supported_versions) ?? random) !== '0304')
    throw new Error('selected_version')
  const keyShare = extensions.get(EXTENSION.key_share)
  const isRetry = toHex(random) === RETRY_RANDOM
  const selected = isRetry ? undefined : extensions.get(EXTENSION.pre_shared_key)
  if (keyShare === undefined || extensions.size !== (selected === undefined ? 2 : 3))
    throw new Error('extensions of ServerHello')
  const selectedPsk = selected && new Reader(selected).u16()
  const entry = new Reader(keyShare)
  const group = entry.u16()
  const share = isRetry ? new Uint8Array(0) : entry.opaque16()
  entry.end()
  return { random, sessionId, suite, isRetry, group, share, selectedPsk, extensions }
}

export function readEncryptedExtensions(body: Uint8Array): Extensions {
  const reader = new Reader(body)
  const extensions = readExtensions(reader.vector16())
  reader.end()
  return extensions
}

/** The chain, leaf first. */
export function readCertificate(body: Uint8Array): { chain: Uint8Array[]; leafExtensions: Extensions } {
  const reader = new Reader(body)
  if (reader.opaque8().length !== 0) throw new Error('certificate_request_context')
  const list = reader.vector24()
  reader.end()
  const chain: Uint8Array[] = []
  const extensions: Extensions[] = []
  while (list.left > 0) {
    chain.push(list.opaque24().slice())
    extensions.push(readExtensions(list.vector16()))
  }
  // RFC 9345 §4.1.1
  if (extensions.slice(1).some((others) => others.has(EXTENSION.delegated_credential)))
    throw new Error('a delegated credential that is not with the leaf')
  return { chain, leafExtensions: extensions[0] ?? new Map() }
}

/** RFC 8879 §4. @throws if it does not decompress to what it says. */
export function readCompressedCertificate(body: Uint8Array): { algorithm: number; certificate: Uint8Array } {
  const reader = new Reader(body)
  const algorithm = reader.u16()
  const length = reader.u24()
  const compressed = reader.opaque24()
  reader.end()
  const certificate = algorithm === 2 ? brotliDecompressSync(compressed) : inflateSync(compressed)
  if (certificate.length !== length) throw new Error('uncompressed_length')
  return { algorithm, certificate }
}

export interface CertificateRequest {
  /** Of TLS 1.2 only. */
  readonly types: readonly number[]
  readonly schemes: readonly number[]
  /** DER of Names. */
  readonly authorities: readonly Uint8Array[]
}

/** RFC 8446 §4.3.2. */
export function readCertificateRequest(body: Uint8Array): CertificateRequest {
  const reader = new Reader(body)
  if (reader.opaque8().length !== 0) throw new Error('certificate_request_context')
  const extensions = readExtensions(reader.vector16())
  reader.end()
  const schemes = extensions.get(EXTENSION.signature_algorithms)
  if (schemes === undefined) throw new Error('CertificateRequest without signature_algorithms')
  const names = extensions.get(EXTENSION.certificate_authorities)
  return { types: [], schemes: readSchemes(schemes), authorities: names ? readNames(names) : [] }
}

/** RFC 5246 §7.4.4. */
export function readCertificateRequest12(body: Uint8Array): CertificateRequest {
  const reader = new Reader(body)
  const types = [...reader.opaque8()]
  const schemes = readSchemes(body.subarray(reader.offset, reader.offset + 2 + reader.opaque16().length))
  const authorities = readNames(reader.rest())
  return { types, schemes, authorities }
}

function readSchemes(body: Uint8Array): number[] {
  const reader = new Reader(body)
  const list = reader.vector16()
  reader.end()
  const schemes: number[] = []
  while (list.left > 0) schemes.push(list.u16())
  if (schemes.length === 0) throw new Error('no signature schemes')
  return schemes
}

function readNames(body: Uint8Array): Uint8Array[] {
  const reader = new Reader(body)
  const list = reader.vector16()
  reader.end()
  const names: Uint8Array[] = []
  while (list.left > 0) names.push(list.opaque16().slice())
  return names
}

export function readCertificateVerify(body: Uint8Array): { scheme: number; signature: Uint8Array } {
  const reader = new Reader(body)
  const scheme = reader.u16()
  const signature = reader.opaque16().slice()
  reader.end()
  return { scheme, signature }
}

/** The one protocol of an ALPN answer. RFC 7301 §3.1. */
export function readSelectedProtocol(body: Uint8Array): string {
  const reader = new Reader(body)
  const list = reader.vector16()
  reader.end()
  const name = Buffer.from(list.opaque8()).toString('latin1')
  list.end()
  return name
}

// What a ClientHello says about the program that sent it: JA3 and JA4. For logs and rules; anyone can imitate either.
//
// JA3 (Althouse, Atkinson, Atkins 2017) keeps the client's order; browsers that shuffle their extensions have a new one
// a connection. JA4, "TLS Client Fingerprinting" (FoxIO 2023, BSD 3-Clause; not the rest of JA4+) sorts. Both pass over
// GREASE (RFC 8701). Every hello that could be read has both.
import { DecodeError, Reader } from '@latchkey/core'
import { hasMd5, textHash } from '../crypto-provider.ts'
import type { ClientHello } from './client-hello.ts'
import { ExtensionType } from './extension-type.ts'

/** RFC 8701 §2: 0x0a0a, 0x1a1a … 0xfafa. */
function isGrease(code: number): boolean {
  return (code & 0x0f0f) === 0x0a0a && code >>> 8 === (code & 0xff)
}

function withoutGrease(codes: readonly number[] | undefined): number[] {
  return (codes ?? []).filter((code) => !isGrease(code))
}

function extensionTypes(hello: ClientHello): number[] {
  return withoutGrease(hello.extensions.map(({ type }) => type))
}

export interface Fingerprint {
  /** 32 hexadecimal digits; undefined where this Node's OpenSSL has no MD5 (FIPS). */
  readonly ja3: string | undefined
  /** 36 characters. */
  readonly ja4: string
}

export function fingerprint(hello: ClientHello): Fingerprint {
  return { ja3: hasMd5 ? ja3(hello) : undefined, ja4: ja4(hello) }
}

// ── JA3 ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The text that a JA3 is the hash of, all numbers decimal and in the client's order:
 *
 *     legacy_version,cipher suites,extensions,supported groups,EC point formats      771,4865-4866,0-10-11,29-23,0
 *
 * @see https://github.com/salesforce/ja3
 */
export function ja3Text(hello: ClientHello): string {
  const lists = [
    withoutGrease(hello.cipherSuites),
    extensionTypes(hello),
    withoutGrease(hello.supportedGroups),
    pointFormats(hello),
  ]
  return [hello.legacyVersion, ...lists.map((list) => list.join('-'))].join(',')
}

/** JA3: 32 hexadecimal digits. @throws where this Node's OpenSSL has no MD5 (FIPS). */
export function ja3(hello: ClientHello): string {
  return textHash('md5', ja3Text(hello))
}

/** RFC 8422 §5.1.2. A hello for TLS 1.3 is not refused for what stands here: a malformed extension counts as empty. */
function pointFormats(hello: ClientHello): number[] {
  const extension = hello.extensions.find(({ type }) => type === ExtensionType.ec_point_formats)
  if (extension === undefined) return []
  try {
    const reader = new Reader(extension.body)
    const formats = reader.opaque8()
    reader.end()
    return Array.from(formats)
  } catch (error) {
    if (error instanceof DecodeError) return []
    throw error
  }
}

// ── JA4 ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * JA4 of a hello that came over TCP, 36 characters: what the client is capable of, in clear; a hash of its cipher
 * suites; a hash of its extensions and signature schemes.
 *
 *     t13d1516h2_8daaf6152771_e5627efa2ab1
 *
 * @see https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md
 */
export function ja4(hello: ClientHello): string {
  const [summary, suites, extensions] = ja4Parts(hello)
  return `${summary}_${shortHash(suites)}_${shortHash(extensions)}`
}

/** JA4_r: the same with the lists in place of their hashes. */
export function ja4Raw(hello: ClientHello): string {
  return ja4Parts(hello).join('_')
}

function ja4Parts(hello: ClientHello): [summary: string, suites: string, extensions: string] {
  const suites = withoutGrease(hello.cipherSuites)
  const types = extensionTypes(hello)
  const summary = [
    't',
    ja4Version(hello),
    types.includes(ExtensionType.server_name) ? 'd' : 'i',
    twoDigits(suites.length),
    twoDigits(types.length),
    ja4Alpn(hello.alpnProtocols?.[0]),
  ].join('')
  // The summary tells of server_name and ALPN: an address in place of a name does not make another client.
  const hashed = types.filter(
    (type) =>
      type !== ExtensionType.server_name && type !== ExtensionType.application_layer_protocol_negotiation,
  )
  const schemes = withoutGrease(hello.signatureAlgorithms).map(fourHex).join(',')
  const extensions = sortedHex(hashed)
  return [summary, sortedHex(suites), schemes === '' ? extensions : `${extensions}_${schemes}`]
}

const VERSIONS: ReadonlyMap<number, string> = new Map([
  [0x0304, '13'],
  [0x0303, '12'],
  [0x0302, '11'],
  [0x0301, '10'],
  [0x0300, 's3'],
])

/** The highest of supported_versions, or legacy_version without the extension. */
function ja4Version({ supportedVersions, legacyVersion }: ClientHello): string {
  const version =
    supportedVersions === undefined ? legacyVersion : Math.max(...withoutGrease(supportedVersions))
  return VERSIONS.get(version) ?? '00'
}

/**
 * First and last character of the first name; of its hexadecimal digits where one of the two is no ASCII letter or
 * digit: `h2` of h2, `h1` of http/1.1, `ad` of the bytes ab cd.
 */
function ja4Alpn(name: string | undefined): string {
  if (name === undefined) return '00'
  const ends = firstAndLast(name)
  if (/^[0-9A-Za-z]{2}$/.test(ends)) return ends
  return firstAndLast(Array.from(name, (character) => twoHex(character.charCodeAt(0))).join(''))
}

function firstAndLast(text: string): string {
  return text.charAt(0) + text.charAt(text.length - 1)
}

/** Twelve digits of SHA-256; zeros, and not the hash of nothing, for an empty list. */
function shortHash(list: string): string {
  return list === '' ? '000000000000' : textHash('sha256', list).slice(0, 12)
}

function sortedHex(codes: readonly number[]): string {
  return codes.map(fourHex).sort().join(',')
}

const twoHex = (byte: number): string => byte.toString(16).padStart(2, '0')
const fourHex = (code: number): string => code.toString(16).padStart(4, '0')
const twoDigits = (count: number): string => Math.min(count, 99).toString().padStart(2, '0')

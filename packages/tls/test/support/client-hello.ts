// Builds a ClientHello from plain data; every field can be replaced by bytes that no honest client would send.
import { randomBytes } from 'node:crypto'
import { ascii, concat, u16, u8, vector16, vector24, vector8 } from './bytes.ts'
import { EXTENSION, GROUP, MESSAGE, SCHEME, SUITE } from './code-points.ts'

export interface Extension {
  readonly type: number
  readonly body: Uint8Array
}

export interface KeyShare {
  readonly group: number
  readonly share: Uint8Array
}

/** What a ClientHello says. `undefined` for an extension leaves it out. */
export interface Hello {
  readonly legacyVersion: number
  readonly random: Uint8Array
  readonly sessionId: Uint8Array
  readonly suites: readonly number[]
  /** The bytes of legacy_compression_methods, without their length. */
  readonly compression: Uint8Array
  readonly versions: readonly number[] | undefined
  readonly groups: readonly number[] | undefined
  readonly keyShares: readonly KeyShare[] | undefined
  readonly schemes: readonly number[] | undefined
  readonly serverName: string | undefined
  readonly alpn: readonly string[] | undefined
  /** Extensions after the ones above, in this order, whatever they are. */
  readonly extra: readonly Extension[]
  /** Bodies that replace what was built from the fields above; `undefined` removes the extension. */
  readonly bodies: Readonly<Record<number, Uint8Array | undefined>>
  /** The last word: reorder, duplicate, drop. */
  readonly arrange: (extensions: readonly Extension[]) => readonly Extension[]
}

/** Key shares are missing: only a client has a key. */
export function defaultHello(): Hello {
  return {
    legacyVersion: 0x0303,
    random: randomBytes(32),
    sessionId: randomBytes(32), // middlebox compatibility mode, RFC 8446 §D.4
    suites: Object.values(SUITE),
    compression: u8(0),
    versions: [0x0304],
    groups: [GROUP.x25519, GROUP.secp256r1],
    keyShares: undefined,
    schemes: [
      SCHEME.ecdsa_secp256r1_sha256,
      SCHEME.ecdsa_secp384r1_sha384,
      SCHEME.rsa_pss_rsae_sha256,
      SCHEME.rsa_pss_rsae_sha384,
      SCHEME.rsa_pss_rsae_sha512,
      SCHEME.ed25519,
    ],
    serverName: 'example.com',
    alpn: undefined,
    extra: [],
    bodies: {},
    arrange: (extensions) => extensions,
  }
}

export function numbers16(values: readonly number[]): Uint8Array {
  return concat(...values.map(u16))
}

/** A server_name body with these entries, each a name type and its bytes. */
export function serverNameBody(...entries: readonly (readonly [number, Uint8Array])[]): Uint8Array {
  return vector16(...entries.map(([type, name]) => concat(u8(type), vector16(name))))
}

export function alpnBody(names: readonly string[]): Uint8Array {
  return vector16(...names.map((name) => vector8(ascii(name))))
}

export function keyShareBody(shares: readonly KeyShare[]): Uint8Array {
  return vector16(...shares.map(({ group, share }) => concat(u16(group), vector16(share))))
}

function fieldExtensions(hello: Hello): Extension[] {
  const { serverName, alpn, versions, groups, schemes, keyShares } = hello
  const bodies: [number, Uint8Array | undefined][] = [
    [EXTENSION.server_name, serverName === undefined ? undefined : serverNameBody([0, ascii(serverName)])],
    [EXTENSION.supported_groups, groups && vector16(numbers16(groups))],
    [EXTENSION.signature_algorithms, schemes && vector16(numbers16(schemes))],
    [EXTENSION.alpn, alpn && alpnBody(alpn)],
    [EXTENSION.supported_versions, versions && vector8(numbers16(versions))],
    [EXTENSION.key_share, keyShares && keyShareBody(keyShares)],
  ]
  return bodies.flatMap(([type, built]) => {
    const body = type in hello.bodies ? hello.bodies[type] : built
    return body === undefined ? [] : [{ type, body }]
  })
}

export function encodeExtensions(extensions: readonly Extension[]): Uint8Array {
  return concat(...extensions.map(({ type, body }) => concat(u16(type), vector16(body))))
}

/** The body of the message, without its four-byte header. */
export function encodeHelloBody(hello: Hello): Uint8Array {
  const extensions = hello.arrange([...fieldExtensions(hello), ...hello.extra])
  return concat(
    u16(hello.legacyVersion),
    hello.random,
    vector8(hello.sessionId),
    vector16(numbers16(hello.suites)),
    vector8(hello.compression),
    vector16(encodeExtensions(extensions)),
  )
}

export function encodeHello(hello: Hello): Uint8Array {
  return message(MESSAGE.client_hello, encodeHelloBody(hello))
}

/** A handshake message with its true length. */
export function message(type: number, body: Uint8Array): Uint8Array {
  return concat(u8(type), vector24(body))
}

/** A plaintext record with its true length. */
export function plainRecord(type: number, fragment: Uint8Array, version = 0x0303): Uint8Array {
  return concat(u8(type), u16(version), vector16(fragment))
}

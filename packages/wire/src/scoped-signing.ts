// Scoped signing, our extension: a client sends what TLS signs in place of its digest, so that the key server sees what
// it signs. docs/scoped-signing.md is the specification.

/**
 * The protocol name (RFC 7301) by which both sides of a connection agree on the extension. Peers without it are asked
 * nothing: they do not know the name, and the connection is one of plain Keyless.
 */
export const SCOPED_SIGNING_PROTOCOL = 'keyless-scoped/1'

/** What the payload of a signing request is, as its item 0x14 says it: one byte. */
export const SIGNING_SCOPES = {
  /** The content of a server's CertificateVerify, RFC 8446 §4.4.3. */
  'tls13-server-cv': 1,
  /** client_random, server_random and ServerECDHParams, RFC 8422 §5.4. */
  'tls12-ske': 2,
} as const satisfies Record<string, number>
export type SigningScope = keyof typeof SIGNING_SCOPES

const SCOPE_BY_CODE = new Map<number, SigningScope>(
  Object.entries(SIGNING_SCOPES).map(([name, code]) => [code, name as SigningScope]),
)

/** The scope that item 0x14 names; undefined for anything else than one of ours. */
export function readSigningScope(extra: Uint8Array): SigningScope | undefined {
  return extra.length === 1 ? SCOPE_BY_CODE.get(extra[0] as number) : undefined
}

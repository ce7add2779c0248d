// Who asks, for logs and for whoever decides what a client may do.
import type { X509Certificate } from 'node:crypto'

export interface Client {
  /** `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
  readonly peer: string
  /** What the client presented, leaf first. Proven is the leaf; what follows may contain more than its issuers. */
  readonly chain: readonly X509Certificate[]
  /** Common names of the leaf, joined with a comma; empty if it has none. */
  readonly names: string
  /** Serial number of the leaf, in decimal. */
  readonly serial: string
  /** Both sides of the connection know scoped signing. */
  readonly knowsScopes: boolean
}

export function describeClient(
  peer: string,
  chain: readonly X509Certificate[],
  { knowsScopes = false }: { readonly knowsScopes?: boolean } = {},
): Client {
  const [leaf] = chain
  const names = commonNames(leaf?.subject ?? '')
  return { peer, chain, names, serial: decimal(leaf?.serialNumber ?? ''), knowsScopes }
}

/** Hex as OpenSSL writes it: some CAs have issued negative numbers. */
export function decimal(hex: string): string {
  const [, sign = '', digits] = /^(-?)([0-9a-f]+)$/i.exec(hex) ?? []
  return digits === undefined ? '' : `${sign}${BigInt(`0x${digits}`)}`
}

/** node:crypto writes a subject as lines of `TYPE=value`. */
function commonNames(subject: string): string {
  const lines = subject.split('\n').filter((line) => line.startsWith('CN='))
  return lines.map((line) => line.slice('CN='.length)).join(', ')
}

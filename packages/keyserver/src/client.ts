// Who asks, for logs and for whoever decides what a client may do.
import type { X509Certificate } from 'node:crypto'

export interface Client {
  /** `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
  readonly peer: string
  /** What the client presented and we accepted, leaf first. */
  readonly chain: readonly X509Certificate[]
  /** Common names of the chain, leaf first, joined with a comma. */
  readonly names: string
  /** Serial numbers of the chain in decimal, leaf first, joined with a comma. */
  readonly serials: string
}

export function describeClient(peer: string, chain: readonly X509Certificate[]): Client {
  const names = chain.map((each) => commonName(each)).join(', ')
  const serials = chain.map((each) => BigInt(`0x${each.serialNumber}`).toString()).join(', ')
  return { peer, chain, names, serials }
}

/** `host:port` with the brackets that IPv6 needs. */
export function hostAndPort(address: string | undefined, port: number | undefined): string {
  if (address === undefined) return 'unknown'
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** node:crypto writes a subject as lines of `TYPE=value`. */
function commonName({ subject }: X509Certificate): string {
  const line = (subject ?? '').split('\n').find((each) => each.startsWith('CN='))
  return line === undefined ? '' : line.slice('CN='.length)
}

// From the name a client asks for to the certificates that may answer. RFC 6066 §3, wildcards as RFC 9525 §6.3.
import type { Credential } from './credential.ts'

/** Synchronous on purpose: certificates are public data that is pushed into memory before it is needed. */
export interface CertificateStore {
  /** In order of preference; undefined: nobody here answers to that name. Asked more than once for a hello. */
  select(hello: NamedHello): readonly Credential[] | undefined
}

/** What a ClientHello says of whom it is for. */
export interface NamedHello {
  /** Lower case; '' if the client names no server. */
  readonly serverName: string
  /** As the client offers them; undefined: it does not speak of protocols. `acme-tls/1` has a certificate of its own. */
  readonly alpnProtocols?: readonly string[] | undefined
}

export interface HostCredentials {
  /** Exact names, or one-label wildcards: `*.example.com` stands for `a.example.com`, not for `a.b.example.com`. */
  readonly serverNames: readonly string[]
  /** In order of preference. */
  readonly credentials: readonly Credential[]
}

/** Exact name first, then the wildcard of its parent, then `default`. Two look-ups, however many hosts. */
export function createCertificateStore({
  hosts,
  default: fallback,
}: {
  hosts: readonly HostCredentials[]
  default?: readonly Credential[]
}): CertificateStore {
  const exact = new Map<string, readonly Credential[]>()
  // By what follows the asterisk. Apart from the exact names: nobody may ask for `*.example.com` itself.
  const wildcards = new Map<string, readonly Credential[]>()
  for (const { serverNames, credentials } of hosts) {
    for (const name of serverNames) {
      if (name.startsWith('*.')) wildcards.set(name.slice(1).toLowerCase(), credentials)
      else exact.set(name.toLowerCase(), credentials)
    }
  }
  return {
    select({ serverName }) {
      if (serverName === '' || serverName.includes('*')) return fallback
      return exact.get(serverName) ?? wildcards.get(parentOf(serverName)) ?? fallback
    },
  }
}

/** `.example.com` of `a.example.com`; the wildcard stands for one whole label, and no label is empty. */
function parentOf(name: string): string {
  const dot = name.indexOf('.')
  return dot > 0 ? name.slice(dot) : ''
}

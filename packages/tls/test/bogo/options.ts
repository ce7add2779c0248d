// From the runner's settings to the options of a server.
import {
  CIPHER_SUITES12,
  type CipherSuite12Name,
  createTicketKeyring,
  type GroupName,
  NAMED_GROUPS,
  type Signer,
  TicketSealer,
  type TlsServerOptions,
} from '@latchkey/tls'
import { randomBytes } from 'node:crypto'
import { clientCertificatePolicy } from './clients.ts'
import type { Credentials } from './credentials.ts'
import { type Settings, Unimplemented } from './flags.ts'

/** What the connections of one run share: tickets of one are good for the next, also some time later. */
export class Fleet {
  #aheadMs = 0
  readonly clock = (): number => Date.now() + this.#aheadMs
  readonly tickets = new TicketSealer({
    keyring: createTicketKeyring({ clock: this.clock }),
    random: (count) => randomBytes(count),
    clock: this.clock,
  })

  waitSeconds(seconds: number): void {
    this.#aheadMs += seconds * 1000
  }
}

/** @throws {Unimplemented} for versions, suites and groups that the engine does not have. */
export function serverOptions(settings: Settings, credentials: Credentials, fleet: Fleet): TlsServerOptions {
  const { '-curves': curves, '-cipher': cipher, '-expect-early-data-reason': reason } = settings
  if (reason !== undefined && reason !== 'disabled') throw new Unimplemented(`early data: ${reason}`)
  const clients = clientCertificatePolicy(settings)
  return {
    certificates: certificateStore(settings, credentials),
    signer: settings['-async'] === true ? later(credentials.signer) : credentials.signer,
    tickets: tickets(settings, fleet),
    clock: fleet.clock,
    delegatedCredentials: credentials.delegated,
    clientCertificates: () => clients,
    ...versions(settings),
    alpnProtocols: alpnProtocols(settings),
    requireCloseNotify: settings['-check-close-notify'] === true,
    allowHalfOpen: true,
    ...(curves === undefined ? {} : { groups: groupsOf(curves) }),
    cipherSuites12: cipher === undefined ? ALL_SUITES : cipher.split(':').map(suiteName),
  }
}

/** BoringSSL asks one callback more before this one: here both are the same question. */
function certificateStore(settings: Settings, { list }: Credentials): TlsServerOptions['certificates'] {
  const isFailing = settings['-fail-cert-callback'] === true || settings['-fail-ddos-callback'] === true
  const advertised = settings['-expect-advertised-alpn']
  return {
    select({ alpnProtocols }) {
      if (isFailing) throw new Error('the certificate store fails, as the runner wants')
      if (advertised !== undefined && protocolNameList(alpnProtocols ?? []) !== advertised)
        throw new Error(`the client offers ${(alpnProtocols ?? []).join()}`)
      return list
    },
  }
}

/** As on the wire: each name behind its length. */
function protocolNameList(protocols: readonly string[]): string {
  return protocols.map((name) => String.fromCodePoint(name.length) + name).join('')
}

function tickets(settings: Settings, fleet: Fleet): TicketSealer | false {
  return settings['-no-ticket'] === true || settings['-skip-ticket'] === true ? false : fleet.tickets
}

/** A signer that is somewhere else. */
function later(signer: Signer): Signer {
  return {
    async sign(request, signal) {
      await new Promise(setImmediate)
      return signer.sign(request, signal)
    },
    async decryptPremaster(request, signal) {
      await new Promise(setImmediate)
      if (signer.decryptPremaster === undefined) throw new Error('a signer that does not decrypt')
      return signer.decryptPremaster(request, signal)
    },
  }
}

const TLS12 = 0x0303
const TLS13 = 0x0304

function versions(settings: Settings): Pick<TlsServerOptions, 'minVersion' | 'maxVersion'> {
  const maxVersion = settings['-max-version'] ?? TLS13
  if (maxVersion < TLS12) throw new Unimplemented('TLS 1.0 and 1.1 are not there')
  const isTls12Only = settings['-no-tls13'] === true || maxVersion < TLS13
  const isTls13Only = settings['-no-tls12'] === true || (settings['-min-version'] ?? TLS12) >= TLS13
  return {
    minVersion: isTls13Only ? 'TLSv1.3' : 'TLSv1.2',
    maxVersion: isTls12Only ? 'TLSv1.2' : 'TLSv1.3',
  }
}

/** What no client of the runner offers. */
const NOBODYS_PROTOCOL = 'nobody speaks this'

function alpnProtocols(settings: Settings): string[] {
  if (settings['-reject-alpn'] === true) return [NOBODYS_PROTOCOL]
  const protocol = settings['-select-alpn']
  return protocol === undefined || settings['-decline-alpn'] === true ? [] : [protocol]
}

/** Those that the engine has: where BoringSSL's list is of curves of certificates too, the others matter to nobody. */
function groupsOf(codes: readonly number[]): GroupName[] {
  const names = Object.keys(NAMED_GROUPS) as GroupName[]
  const known = codes.flatMap((code) => names.filter((name) => NAMED_GROUPS[name].code === code))
  if (known.length === 0) throw new Unimplemented(`groups ${codes.join()}`)
  return known
}

/** With RSA key exchange, which must be asked for here and not in BoringSSL. */
const ALL_SUITES = Object.keys(CIPHER_SUITES12) as CipherSuite12Name[]

/** The runner names suites of TLS 1.2, by the names of OpenSSL. */
function suiteName(openSslName: string): CipherSuite12Name {
  const name = ALL_SUITES.find((candidate) => CIPHER_SUITES12[candidate].openSslName === openSslName)
  if (name === undefined) throw new Unimplemented(`-cipher ${openSslName}`)
  return name
}

// What tickets of both versions have in common: where a session may go on, and what its ticket remembers.
import type { ClientAuthentication, ClientCertificatePolicy } from '../client-certificate/policy.ts'
import type { Credential } from '../credential/credential.ts'
import { digest, equalSecrets } from '../crypto-provider.ts'
import type { ServerContext } from '../server-context.ts'
import { TicketFlag, type TicketState } from '../ticket/ticket-state.ts'
import type { TLS12, TLS13 } from './protocol-version.ts'
import { type AuthorizeAgain, resumedClient } from './resumed-client.ts'

type Version = typeof TLS12 | typeof TLS13

/** What the client asks for, and what there is to answer with. */
export interface TicketPlace {
  readonly version: Version
  readonly serverName: string
  readonly credentials: readonly Credential[]
  /** undefined: clients are not asked for a certificate. */
  readonly policy: ClientCertificatePolicy | undefined
}

export interface OpenedTicket {
  /** Whoever gets it wipes its secret. */
  readonly state: TicketState
  /** The live certificate that the session was authenticated with. */
  readonly credential: Credential
  /** To be called before the session goes on. */
  readonly authorizeClient: AuthorizeAgain
  /** Not from the future, whatever another server's clock said. */
  readonly fullHandshakeAtMs: number
}

/** How the ticket names server and key: the first bytes of a SHA-256. */
const ID_BYTES = 16

/** What `ticket` remembers, if it is ours, alive, and for this place; undefined: a full handshake follows, never an alert. */
export function openTicket(
  context: ServerContext,
  ticket: Uint8Array,
  place: TicketPlace,
): OpenedTicket | undefined {
  const state = context.tickets?.open(ticket)
  if (state === undefined) return undefined
  const credential = isFor(state, context.ticketTenant, place)
    ? place.credentials.find(({ keyId }) => equalSecrets(keyId.subarray(0, ID_BYTES), state.credentialKeyId))
    : undefined
  const authorizeClient = credential && resumedClient(context, place.policy, state)
  if (credential === undefined || authorizeClient === undefined) {
    state.secret.fill(0)
    return undefined
  }
  const fullHandshakeAtMs = Math.min(state.fullHandshakeAtMs, context.clock())
  return { state, credential, authorizeClient, fullHandshakeAtMs }
}

function isFor(state: TicketState, tenant: Uint8Array, { version, serverName }: TicketPlace): boolean {
  return (
    state.protocolVersion === version &&
    equalSecrets(state.tenantId, tenant) &&
    equalSecrets(state.serverNameHash, serverNameHash(serverName))
  )
}

const encoder = new TextEncoder()
// A resumed handshake asks twice for the same name, and the next handshake often too.
let hashedName = { name: '', hash: hashName('') }

function serverNameHash(name: string): Uint8Array {
  if (hashedName.name !== name) hashedName = { name, hash: hashName(name) }
  return hashedName.hash
}

function hashName(name: string): Uint8Array {
  return digest('sha256', encoder.encode(name)).subarray(0, ID_BYTES)
}

export interface TicketSession {
  readonly version: Version
  /** Code point. */
  readonly cipherSuite: number
  readonly hasExtendedMasterSecret: boolean
  readonly client: ClientAuthentication
  readonly serverName: string
  readonly credential: Credential
  /** Undefined: just now. */
  readonly fullHandshakeAtMs: number | undefined
}

/** Seals one ticket; `secret` stays the caller's. Undefined: there is no key to seal with. */
export type SealTicket = (secret: Uint8Array, ageAdd: number) => Uint8Array | undefined

/** Tickets for `session`, as many as are asked for. */
export function ticketsFor(context: ServerContext, session: TicketSession): SealTicket {
  const issuedAtMs = context.clock()
  const common = {
    protocolVersion: session.version,
    cipherSuite: session.cipherSuite,
    flags: flagsOf(session),
    issuedAtMs,
    fullHandshakeAtMs: session.fullHandshakeAtMs ?? issuedAtMs,
    tenantId: context.ticketTenant,
    serverNameHash: serverNameHash(session.serverName),
    credentialKeyId: session.credential.keyId.subarray(0, ID_BYTES),
    clientChainHash: isShown(session.client)
      ? context.tickets?.clientChains.remember(session.client.peerCertificates)
      : undefined,
  }
  return (secret, ageAdd) => context.tickets?.seal({ ...common, ageAdd, secret })
}

function isShown({ peerCertificates }: ClientAuthentication): boolean {
  return peerCertificates.length > 0
}

function flagsOf({ hasExtendedMasterSecret, client }: TicketSession): number {
  return (
    (hasExtendedMasterSecret ? TicketFlag.extendedMasterSecret : 0) |
    (isShown(client) ? TicketFlag.clientAuthenticated : 0) |
    (client.authorized ? TicketFlag.clientAuthorized : 0)
  )
}

// Resumption in TLS 1.2: by ticket only, and only of sessions whose master secret is bound to their handshake. RFC 5077
// §3, RFC 7627 §5.3. There is no fresh key exchange: whoever learns the master secret reads the resumed connections too.
import { refuse } from '../errors.ts'
import type { ClientHello } from '../handshake/client-hello.ts'
import { hkdf } from '../handshake/key-schedule.ts'
import { TLS12 } from '../handshake/protocol-version.ts'
import type { AuthorizeAgain } from '../handshake/resumed-client.ts'
import { openTicket, type TicketSession, ticketsFor } from '../handshake/session-ticket.ts'
import type { ClientCertificatePolicy } from '../client-certificate/policy.ts'
import type { Credential } from '../credential/credential.ts'
import type { ServerContext } from '../server-context.ts'
import { TICKET_LIFETIME_SECONDS } from '../ticket/ticket-sealer.ts'
import { TicketFlag } from '../ticket/ticket-state.ts'
import type { CipherSuite12 } from './cipher-suite12.ts'
import type { HelloExtensions12 } from './hello-extensions12.ts'
import { MasterSecret } from './master-secret.ts'
import { writeNewSessionTicket12 } from './messages12.ts'

/** A session that goes on, if its client may. */
export interface Resumption12 {
  readonly suite: CipherSuite12
  /** Whoever gets it wipes it. */
  readonly master: MasterSecret
  readonly credential: Credential
  readonly authorizeClient: AuthorizeAgain
  readonly fullHandshakeAtMs: number
  /** Whether the client should have a newer ticket. */
  readonly isRenewalDue: boolean
}

/** Half of a ticket's life. */
const RENEWAL_AGE_MS = (TICKET_LIFETIME_SECONDS * 1000) / 2

/**
 * The session of the client's ticket, if it may go on here; undefined: the handshake becomes a full one.
 *
 * @throws {TlsError} ERR_TLS_HANDSHAKE_FAILURE for a client that had extended_master_secret and has it no more: somebody
 * may have taken it out (RFC 7627 §5.3).
 */
export function acceptTicket12(
  context: ServerContext,
  hello: ClientHello,
  { sessionTicket, hasExtendedMasterSecret }: HelloExtensions12,
  credentials: readonly Credential[],
  policy: ClientCertificatePolicy | undefined,
): Resumption12 | undefined {
  if (sessionTicket === undefined || sessionTicket.length === 0) return undefined
  const { serverName, cipherSuites } = hello
  const opened = openTicket(context, sessionTicket, { version: TLS12, serverName, credentials, policy })
  if (opened === undefined) return undefined
  const { state, ...known } = opened
  // A session has one suite for all its life (RFC 5246 §7.4.1.3).
  const suite = context.cipherSuites12.find(({ code }) => code === state.cipherSuite)
  const isBound = (state.flags & TicketFlag.extendedMasterSecret) !== 0
  if (suite === undefined || !cipherSuites.includes(suite.code) || !isBound) {
    state.secret.fill(0)
    return undefined
  }
  const master = MasterSecret.resumed(hkdf(suite.hash), state.secret)
  if (!hasExtendedMasterSecret) {
    master.wipe()
    refuse('ERR_TLS_HANDSHAKE_FAILURE', 'the session to resume had extended_master_secret')
  }
  const isRenewalDue = context.clock() - state.issuedAtMs > RENEWAL_AGE_MS
  return { suite, master, ...known, isRenewalDue }
}

/**
 * Whether a client gets a ticket: it must know tickets, and without extended_master_secret a session could be resumed by
 * somebody in the middle (RFC 7627 §1).
 */
export function canTicket(
  { tickets }: ServerContext,
  { sessionTicket, hasExtendedMasterSecret }: HelloExtensions12,
): boolean {
  return tickets !== undefined && sessionTicket !== undefined && hasExtendedMasterSecret
}

export type TicketedSession = Pick<
  TicketSession,
  'serverName' | 'credential' | 'client' | 'fullHandshakeAtMs'
>

/** NewSessionTicket; without a ticket in it if there is no key to seal it with. RFC 5077 §3.3. */
export function newSessionTicket12(
  context: ServerContext,
  session: TicketedSession,
  suite: CipherSuite12,
  master: MasterSecret,
): Uint8Array {
  const bound = { version: TLS12, cipherSuite: suite.code, hasExtendedMasterSecret: true } as const
  const seal = ticketsFor(context, { ...session, ...bound })
  // ticket_age_add is of TLS 1.3.
  const ticket = master.lend((secret) => seal(secret, 0))
  return writeNewSessionTicket12(TICKET_LIFETIME_SECONDS, ticket)
}

// Resumption by ticket: psk_dhe_ke only, so that a resumed connection has a fresh shared secret. RFC 8446 §2.2, §4.2.11.
import type { ClientAuthentication, ClientCertificatePolicy } from '../client-certificate/policy.ts'
import type { Credential } from '../credential/credential.ts'
import { equalSecrets, type HashName } from '../crypto-provider.ts'
import { refuse } from '../errors.ts'
import type { ServerContext } from '../server-context.ts'
import { TICKET_LIFETIME_SECONDS } from '../ticket/ticket-sealer.ts'
import { CIPHER_SUITES, type CipherSuite } from './cipher-suite.ts'
import type { ClientHello } from './client-hello.ts'
import { EarlyStage, type Hkdf, hkdf, ticketPsk } from './key-schedule.ts'
import type { Choice } from './negotiate.ts'
import { TLS13 } from './protocol-version.ts'
import type { AuthorizeAgain } from './resumed-client.ts'
import { writeNewSessionTicket } from './server-messages.ts'
import { openTicket, ticketsFor } from './session-ticket.ts'
import type { Transcript } from './transcript.ts'

/** A ticket of ours that the client has proved to know the secret of. */
export interface AcceptedTicket {
  readonly selectedIdentity: number
  /** Whoever gets it wipes it. */
  readonly early: EarlyStage
  readonly credential: Credential
  readonly authorizeClient: AuthorizeAgain
  readonly fullHandshakeAtMs: number
}

/** A session that goes on. */
export interface Resumption extends Omit<AcceptedTicket, 'authorizeClient'> {
  readonly client: ClientAuthentication
}

/** PskKeyExchangeMode psk_dhe_ke. RFC 8446 §4.2.9. */
const PSK_DHE_KE = 1

/**
 * The first ticket that is ours, alive, and for this server. What is not is passed over: the handshake becomes a full
 * one. Only a binder that does not verify ends the connection.
 *
 * @param policy undefined: clients are not asked for a certificate.
 * @param message the ClientHello the binders are in; not yet part of `transcript`.
 * @throws {TlsError} ERR_TLS_DECRYPT
 */
export function acceptTicket(
  context: ServerContext,
  hello: ClientHello,
  { suite, credentials }: Choice,
  policy: ClientCertificatePolicy | undefined,
  transcript: Transcript,
  message: Uint8Array,
): AcceptedTicket | undefined {
  const offered = hello.preSharedKey
  if (offered === undefined || !canResume(hello)) return undefined
  const place = { version: TLS13, serverName: hello.serverName, credentials, policy } as const
  for (const [selectedIdentity, { identity, binder }] of offered.psks.entries()) {
    const opened = openTicket(context, identity, place)
    if (opened === undefined) continue
    const { state, ...known } = opened
    if (!hasHashOf(suite, state.cipherSuite)) {
      state.secret.fill(0)
      continue
    }
    const early = new EarlyStage(hkdf(suite.hash), state.secret)
    state.secret.fill(0)
    const truncated = message.subarray(0, message.length - offered.bindersBytes)
    if (!equalSecrets(early.binder(transcript.digestWith(truncated)), binder)) {
      early.wipe()
      refuse('ERR_TLS_DECRYPT', 'PSK binder does not verify')
    }
    return { selectedIdentity, early, ...known }
  }
  return undefined
}

const HASHES = new Map<number, HashName>(Object.values(CIPHER_SUITES).map(({ code, hash }) => [code, hash]))

/** RFC 8446 §4.2.11: a PSK goes with every suite of the hash it was made with. */
function hasHashOf(suite: CipherSuite, code: number): boolean {
  return HASHES.get(code) === suite.hash
}

/** Whether the client can use tickets as we take them. To be asked while the hello's bytes are there. */
export function canResume({ pskKeyExchangeModes }: ClientHello): boolean {
  return pskKeyExchangeModes?.includes(PSK_DHE_KE) === true
}

export interface TicketBatch {
  readonly serverName: string
  readonly suite: CipherSuite
  readonly credential: Credential
  readonly client: ClientAuthentication
  /** Consumed. */
  readonly resumptionMasterSecret: Uint8Array
  /** Undefined: the handshake was a full one, just now. */
  readonly resumption: Resumption | undefined
}

/** Two after a full handshake, so that a client can open two connections; one after a resumption, to replace the one used. */
const TICKETS_AFTER_FULL = 2
const TICKETS_AFTER_RESUMPTION = 1

/** NewSessionTicket messages; none if the client could not use them, or there is no key to seal them with. */
export function newSessionTickets(
  context: ServerContext,
  { serverName, suite, credential, client, resumptionMasterSecret, resumption }: TicketBatch,
): Uint8Array[] {
  const messages: Uint8Array[] = []
  if (context.tickets !== undefined) {
    const kdf: Hkdf = hkdf(suite.hash)
    const seal = ticketsFor(context, {
      version: TLS13,
      cipherSuite: suite.code,
      hasExtendedMasterSecret: false,
      serverName,
      credential,
      client,
      fullHandshakeAtMs: resumption?.fullHandshakeAtMs,
    })
    const count = resumption === undefined ? TICKETS_AFTER_FULL : TICKETS_AFTER_RESUMPTION
    for (let index = 0; index < count; index++) {
      const nonce = Uint8Array.of(index)
      const secret = ticketPsk(kdf, resumptionMasterSecret, nonce)
      const ageAdd = readU32(context.random(4))
      const ticket = seal(secret, ageAdd)
      secret.fill(0)
      if (ticket === undefined) break
      messages.push(
        writeNewSessionTicket({ lifetimeSeconds: TICKET_LIFETIME_SECONDS, ageAdd, nonce, ticket }),
      )
    }
  }
  resumptionMasterSecret.fill(0)
  return messages
}

function readU32(bytes: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0
}

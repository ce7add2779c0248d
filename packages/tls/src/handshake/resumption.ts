// Resumption by ticket: psk_dhe_ke only, so that a resumed connection has a fresh shared secret. RFC 8446 §2.2, §4.2.11.
import type { Credential } from '../credential/credential.ts'
import { digest, equalSecrets } from '../crypto-provider.ts'
import { refuse } from '../errors.ts'
import type { ServerContext } from '../server-context.ts'
import { TICKET_LIFETIME_SECONDS } from '../ticket/ticket-sealer.ts'
import type { TicketState } from '../ticket/ticket-state.ts'
import { CIPHER_SUITES, type CipherSuite } from './cipher-suite.ts'
import type { ClientHello } from './client-hello.ts'
import { EarlyStage, type Hkdf, hkdf, ticketPsk } from './key-schedule.ts'
import type { Choice } from './negotiate.ts'
import { TLS13 } from './protocol-version.ts'
import { writeNewSessionTicket } from './server-messages.ts'
import type { Transcript } from './transcript.ts'

/** A ticket of ours that the client has proved to know the secret of. */
export interface Resumption {
  readonly selectedIdentity: number
  readonly early: EarlyStage
  readonly credential: Credential
  readonly fullHandshakeAtMs: number
}

/** PskKeyExchangeMode psk_dhe_ke. RFC 8446 §4.2.9. */
const PSK_DHE_KE = 1
/** How the ticket names server and key: the first bytes of a SHA-256. */
const ID_BYTES = 16

/**
 * The first ticket that is ours, alive, and for this server. What is not is passed over: the handshake becomes a full
 * one. Only a binder that does not verify ends the connection.
 *
 * @param message the ClientHello the binders are in; not yet part of `transcript`.
 * @throws {TlsError} ERR_TLS_DECRYPT
 */
export function acceptTicket(
  { tickets, clock, ticketTenant }: ServerContext,
  hello: ClientHello,
  { suite, credentials }: Choice,
  transcript: Transcript,
  message: Uint8Array,
): Resumption | undefined {
  const offered = hello.preSharedKey
  if (tickets === undefined || offered === undefined || !canResume(hello)) return undefined
  for (const [selectedIdentity, { identity, binder }] of offered.psks.entries()) {
    const state = tickets.open(identity)
    const credential =
      state === undefined ? undefined : credentialOf(state, { hello, suite, credentials, ticketTenant })
    if (state === undefined) continue
    if (credential === undefined) {
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
    return {
      selectedIdentity,
      early,
      credential,
      fullHandshakeAtMs: Math.min(state.fullHandshakeAtMs, clock()),
    }
  }
  return undefined
}

/** Whether the client can use tickets as we take them. To be asked while the hello's bytes are there. */
export function canResume({ pskKeyExchangeModes }: ClientHello): boolean {
  return pskKeyExchangeModes?.includes(PSK_DHE_KE) === true
}

interface Wanted {
  readonly hello: ClientHello
  readonly suite: CipherSuite
  readonly credentials: readonly Credential[]
  readonly ticketTenant: Uint8Array
}

/** The live certificate that the ticket's session was authenticated with; undefined: the ticket is of no use here. */
function credentialOf(
  state: TicketState,
  { hello, suite, credentials, ticketTenant }: Wanted,
): Credential | undefined {
  const row = Object.values(CIPHER_SUITES).find(({ code }) => code === state.cipherSuite)
  const isForHere =
    state.protocolVersion === TLS13 &&
    row?.hash === suite.hash &&
    equalSecrets(state.tenantId, ticketTenant) &&
    equalSecrets(state.serverNameHash, serverNameHash(hello.serverName))
  if (!isForHere) return undefined
  return credentials.find(({ keyId }) => equalSecrets(keyId.subarray(0, ID_BYTES), state.credentialKeyId))
}

const encoder = new TextEncoder()

function serverNameHash(serverName: string): Uint8Array {
  return digest('sha256', encoder.encode(serverName)).subarray(0, ID_BYTES)
}

export interface TicketBatch {
  readonly serverName: string
  readonly suite: CipherSuite
  readonly credential: Credential
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
  { serverName, suite, credential, resumptionMasterSecret, resumption }: TicketBatch,
): Uint8Array[] {
  const messages: Uint8Array[] = []
  if (context.tickets !== undefined) {
    const kdf: Hkdf = hkdf(suite.hash)
    const now = context.clock()
    const nameHash = serverNameHash(serverName)
    const count = resumption === undefined ? TICKETS_AFTER_FULL : TICKETS_AFTER_RESUMPTION
    for (let index = 0; index < count; index++) {
      const nonce = Uint8Array.of(index)
      const secret = ticketPsk(kdf, resumptionMasterSecret, nonce)
      const ageAdd = readU32(context.random(4))
      const ticket = context.tickets.seal({
        protocolVersion: TLS13,
        cipherSuite: suite.code,
        flags: 0,
        issuedAtMs: now,
        fullHandshakeAtMs: resumption?.fullHandshakeAtMs ?? now,
        ageAdd,
        tenantId: context.ticketTenant,
        serverNameHash: nameHash,
        credentialKeyId: credential.keyId.subarray(0, ID_BYTES),
        secret,
      })
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

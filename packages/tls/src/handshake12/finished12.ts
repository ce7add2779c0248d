// The end of every TLS 1.2 handshake: both sides change keys and say Finished. RFC 5246 §7.1, §7.4.9.
//
//     full:     client [ChangeCipherSpec], Finished ─▶ server [NewSessionTicket, ChangeCipherSpec], Finished
//     resumed:  server [NewSessionTicket, ChangeCipherSpec], Finished ─▶ client [ChangeCipherSpec], Finished
import { equalSecrets } from '../crypto-provider.ts'
import { refuse } from '../errors.ts'
import type { Exporter } from '../exporter.ts'
import { logMasterSecret } from '../key-log.ts'
import { HandshakeType } from '../handshake/handshake-type.ts'
import { writeFinished } from '../handshake/server-messages.ts'
import {
  type Handshake,
  sendMessage,
  type Steps,
  wantChangeCipherSpec,
  wantMessage,
} from '../handshake/steps.ts'
import type { Transcript } from '../handshake/transcript.ts'
import { RecordProtection12 } from '../record/record-protection12.ts'
import type { CipherSuite12 } from './cipher-suite12.ts'
import { type MasterSecret, type Randoms, VERIFY_DATA_BYTES } from './master-secret.ts'
import { newSessionTicket12, type TicketedSession } from './resumption12.ts'

/** What is agreed by now. */
export interface Agreed {
  readonly suite: CipherSuite12
  readonly randoms: Randoms
  readonly transcript: Transcript
  /** Wiped when the handshake ends, however it does. */
  readonly master: MasterSecret
  /** What the client gets a ticket for; undefined: none was promised. */
  readonly ticketed: TicketedSession | undefined
  /** Whether the master secret is bound to this handshake (extended_master_secret): else nothing is exported from it. */
  readonly isBound: boolean
}

/**
 * @param first in a full handshake the client, in a resumed one we.
 * @returns what exports keying material. RFC 5705; not without extended_master_secret, RFC 7627 §5.4.
 */
export function* exchangeFinished(
  handshake: Handshake,
  agreed: Agreed,
  first: 'client' | 'server',
): Steps<Exporter | undefined> {
  const { suite, randoms, master } = agreed
  master.lend((secret) => logMasterSecret(handshake.context.keyLog, randoms.client, secret))
  const keys = master.keys(suite, randoms)
  const reads = new RecordProtection12(suite, keys.client)
  const writes = new RecordProtection12(suite, keys.server)
  // Ours to wipe until the connection has them.
  const held = new Set([reads, writes])
  const handOver = (protection: RecordProtection12): RecordProtection12 => {
    held.delete(protection)
    return protection
  }
  // However it ends, also by a return() from outside while it waits, no secret stays behind.
  try {
    if (first === 'server') sendFinished(handshake, agreed, handOver(writes))
    yield* wantChangeCipherSpec()
    handshake.channel.protectReads(handOver(reads))
    yield* receiveFinished(agreed)
    if (first === 'client') sendFinished(handshake, agreed, handOver(writes))
    return agreed.isBound ? master.exporter(randoms) : undefined
  } finally {
    master.wipe()
    for (const protection of held) protection.wipe()
  }
}

function sendFinished(
  handshake: Handshake,
  { suite, transcript, master, ticketed }: Agreed,
  writes: RecordProtection12,
): void {
  const { context, channel } = handshake
  if (ticketed !== undefined)
    sendMessage(handshake, transcript, newSessionTicket12(context, ticketed, suite, master))
  channel.sendChangeCipherSpec()
  channel.protectWrites(writes)
  sendMessage(handshake, transcript, writeFinished(master.verifyData('server', transcript.digest())))
}

function* receiveFinished({ transcript, master }: Agreed): Steps<void> {
  const expected = master.verifyData('client', transcript.digest())
  const { body, bytes } = yield* wantMessage({
    type: HandshakeType.finished,
    maxBytes: VERIFY_DATA_BYTES,
    isExact: true,
  })
  if (!equalSecrets(body, expected)) refuse('ERR_TLS_DECRYPT', 'Finished does not verify')
  transcript.add(bytes)
}

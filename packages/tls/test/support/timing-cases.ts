// What must take the same time whatever the secret is, and what does not: the control. Kinds 0 and 1 differ in where a
// guess is wrong: in its first byte or in its last. Who could tell them apart by time would find a secret byte by byte.
import { createTicketKeyring, ServerConnection, TicketSealer } from '@latchkey/tls'
import { equalSecrets } from '../../src/crypto-provider.ts'
import { flipped, u8 } from './bytes.ts'
import { plainRecord } from './client-hello.ts'
import { RECORD } from './code-points.ts'
import { fuzzContext, fuzzSessions } from './fuzz-conversation.ts'
import { unfinishedWire } from './harness.ts'
import { seededRandom } from './random.ts'
import { TestClient } from './test-client.ts'
import type { TimingCase } from './timing.ts'

const SECRET = seededRandom(1).bytes(32)
const WRONG = [flipped(SECRET, 0), flipped(SECRET, 31)] as const
/** A comparison takes 100 ns, a reading of the clock as long. */
const COMPARISONS = 100

/** What nobody should write: it stops at the first byte that differs. */
function leakyEqual(a: Uint8Array, b: Uint8Array): boolean {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false
  return true
}

function comparison(isEqual: (a: Uint8Array, b: Uint8Array) => boolean): TimingCase['prepare'] {
  return (kind) => () => {
    let equal = 0
    for (let count = 0; count < COMPARISONS; count++) if (isEqual(SECRET, WRONG[kind])) equal++
    return equal
  }
}

const ignore = (): void => {}
const IGNORING = {
  write: ignore,
  data: ignore,
  privateKeyOperation: ignore,
  cancelPrivateKeyOperation: ignore,
  established: ignore,
  ended: ignore,
  closed: ignore,
}

/** A hello with a good ticket and a binder that is wrong. */
function helloWithBinder(kind: 0 | 1): Uint8Array {
  const binder = (good: Uint8Array): Uint8Array => flipped(good, kind === 0 ? 0 : good.length - 1)
  const client = new TestClient({ psks: { sessions: fuzzSessions.slice(0, 1), binder } })
  return plainRecord(RECORD.handshake, client.helloMessage())
}

/** The first record that comes is a Finished that is wrong. */
function finished(kind: 0 | 1): () => unknown {
  const wire = unfinishedWire({ context: fuzzContext })
  const good = wire.client.finishedMessage()
  wire.client.seal(RECORD.handshake, flipped(good, kind === 0 ? 4 : good.length - 1))
  const bytes = wire.client.take()
  return () => wire.server.receive(bytes)
}

const NOW_MS = 1_800_000_000_000
let counter = 0
const sealer = new TicketSealer({
  keyring: createTicketKeyring({ clock: () => NOW_MS }),
  random: (count) => new Uint8Array(count).fill(++counter),
  clock: () => NOW_MS,
})
const ticket =
  sealer.seal({
    protocolVersion: 0x0304,
    cipherSuite: 0x1301,
    flags: 0,
    issuedAtMs: NOW_MS,
    fullHandshakeAtMs: NOW_MS,
    ageAdd: 0,
    tenantId: new Uint8Array(16),
    serverNameHash: new Uint8Array(16),
    credentialKeyId: new Uint8Array(16),
    secret: SECRET,
    clientChainHash: undefined,
  }) ?? u8(0)

export interface NamedCase extends TimingCase {
  readonly name: string
  /** true: it must be flagged. false: it must not. undefined: it differs, and what it tells is public anyway. */
  readonly leaks: boolean | undefined
}

export const TIMING_CASES: readonly NamedCase[] = [
  {
    name: 'control: a comparison that stops early',
    leaks: true,
    operations: COMPARISONS,
    samples: 20_000,
    prepare: comparison(leakyEqual),
  },
  {
    name: 'equalSecrets, wrong in the first byte or the last',
    leaks: false,
    operations: COMPARISONS,
    samples: 100_000,
    prepare: comparison(equalSecrets),
  },
  {
    name: 'ticket with a wrong tag, in its first byte or in its last',
    leaks: false,
    samples: 100_000,
    prepare: (kind) => {
      const bad = flipped(ticket, kind === 0 ? ticket.length - 16 : ticket.length - 1)
      return () => sealer.open(bad)
    },
  },
  {
    name: 'ticket with a wrong tag or of an unknown key',
    // The id of the key is in the ticket for all to see, and says when it was sealed, which the client knows.
    leaks: undefined,
    samples: 20_000,
    prepare: (kind) => {
      const bad = flipped(ticket, kind === 0 ? ticket.length - 1 : 1)
      return () => sealer.open(bad)
    },
  },
  {
    name: 'PSK binder',
    leaks: false,
    samples: 10_000,
    prepare: (kind) => {
      const record = helloWithBinder(kind)
      const connection = new ServerConnection(fuzzContext, IGNORING)
      return () => connection.receive(record)
    },
  },
  { name: 'Finished', leaks: false, samples: 4000, prepare: finished },
]

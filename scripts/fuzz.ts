// Fuzzes whatever reads bytes from strangers. `count` inputs are shared out over the targets by their weight.
//   node scripts/fuzz.ts [count] [seed] [part of a target's name]
// A finding prints the seed and the input; the same seed gives the same inputs.
import { readFileSync } from 'node:fs'
import {
  fuzzClientCertificate,
  fuzzClientHello,
  fuzzCredentialParts,
  fuzzRecords,
  fuzzServerConnection,
  fuzzTicket,
  sampleTickets,
} from '@latchkey/tls/fuzz'
import { fuzzFramer, runFuzz } from '@latchkey/wire/fuzz'
import { vector16, vector8 } from '../packages/tls/test/support/bytes.ts'
import { encodeHelloBody, message, plainRecord } from '../packages/tls/test/support/client-hello.ts'
import { MESSAGE, RECORD } from '../packages/tls/test/support/code-points.ts'
import {
  fuzzConversation,
  fuzzHelloToServer,
  fuzzSessions,
  sampleConversations,
} from '../packages/tls/test/support/fuzz-conversation.ts'
import { mutatedBytes, mutatedHello, partsOf } from '../packages/tls/test/support/mutate.ts'
import { type Random, seededRandom } from '../packages/tls/test/support/random.ts'
import { TestClient } from '../packages/tls/test/support/test-client.ts'
import { defaultHello12 } from '../packages/tls/test/support/test-client12.ts'

const count = Number(process.argv[2] ?? 1_000_000)
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 31)
const only = process.argv[4] ?? ''

function vector(name: string): unknown {
  const url = new URL(`../packages/tls/test/vectors/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(url, 'utf8'))
}

const HEADERS_BYTES = 9
const { hellos } = vector('client-hellos') as { hellos: { recordsHex: string }[] }
const recorded = hellos.map(({ recordsHex }) => new Uint8Array(Buffer.from(recordsHex, 'hex')))
const ours = [
  new TestClient({ hello: { alpn: ['h2', 'http/1.1'] } }).hello,
  new TestClient({ shares: [] }).hello,
  defaultHello12(),
].map(encodeHelloBody)
/** With binders that are good as long as nothing is changed. */
const resuming = new TestClient({ psks: { sessions: fuzzSessions } }).helloMessage().subarray(4)
const bodies = [...recorded.map((bytes) => bytes.subarray(HEADERS_BYTES)), ...ours, resuming]
const parts = bodies.map(partsOf)
/** The same for a name that the server of the deep targets has. */
const served = [...ours, ...ours, resuming].map(partsOf)

const streams = [
  ...recorded.map((bytes) => Uint8Array.of(0, ...bytes)),
  Uint8Array.of(
    1,
    ...plainRecord(RECORD.handshake, message(MESSAGE.client_hello, new Uint8Array(3))),
    ...plainRecord(RECORD.handshake, message(MESSAGE.client_key_exchange, vector8(new Uint8Array(32)))),
  ),
  Uint8Array.of(2, ...plainRecord(RECORD.handshake, message(MESSAGE.finished, new Uint8Array(12)))),
]
const { successfulHex } = vector('ocsp-response') as { successfulHex: string }
const ocsp = new Uint8Array(Buffer.from(successfulHex, 'hex'))
const timestamp = vector16(
  Uint8Array.of(0, ...new Uint8Array(32), ...new Uint8Array(8), 0, 0, 4, 3, ...vector16(new Uint8Array(70))),
)
const credentialParts = [
  ocsp,
  vector16(timestamp, timestamp),
  Uint8Array.of(1, 0, 0, 0, 0),
  vector8(Uint8Array.of(0, 2, 0, 1)),
]
const tickets = sampleTickets()
const conversations = sampleConversations()

const { messages } = vector('rfc8448-client-authentication') as { messages: Record<string, string> }
const certificates = ['certificate', 'clientCertificate'].map((name) =>
  new Uint8Array(Buffer.from(messages[name] ?? '', 'hex')).subarray(4),
)

interface Target {
  readonly name: string
  /** Of the inputs, in parts of 100. */
  readonly weight: number
  readonly input: (random: Random) => Uint8Array
  readonly run: (input: Uint8Array) => void
}

function mutationOf(seeds: readonly Uint8Array[]): Target['input'] {
  return (random) =>
    random.below(32) === 0 ? random.bytes(random.below(64)) : mutatedBytes(random.pick(seeds), random)
}

const TARGETS: readonly Target[] = [
  {
    name: 'ClientHello parser',
    weight: 45,
    input: (random) => mutatedHello(parts, random),
    run: fuzzClientHello,
  },
  { name: 'records and messages', weight: 15, input: mutationOf(streams), run: fuzzRecords },
  { name: 'TLS server connection', weight: 10, input: mutationOf(recorded), run: fuzzServerConnection },
  {
    name: 'hello to a server that could serve it',
    weight: 4,
    input: (random) => mutatedHello(served, random),
    run: fuzzHelloToServer,
  },
  { name: 'connection in each state', weight: 6, input: mutationOf(conversations), run: fuzzConversation },
  // OpenSSL parses each.
  { name: 'client certificate', weight: 1, input: mutationOf(certificates), run: fuzzClientCertificate },
  { name: 'tickets', weight: 10, input: mutationOf(tickets), run: fuzzTicket },
  { name: 'OCSP, SCT, extensions', weight: 10, input: mutationOf(credentialParts), run: fuzzCredentialParts },
]

function report(name: string, inputs: number, startedAt: number): void {
  const seconds = (performance.now() - startedAt) / 1000
  console.log(`${name}: ${inputs} inputs, seed ${seed}, ${seconds.toFixed(1)} s: values and our errors only`)
}

// A refusal is an Error, and most of its price is a stack that nobody reads; a finding is run again with one.
const { stackTraceLimit } = Error
Error.stackTraceLimit = 0
for (const { name, weight, input, run } of TARGETS.filter((target) => target.name.includes(only))) {
  const startedAt = performance.now()
  const random = seededRandom(seed)
  const inputs = Math.ceil((count * weight) / 100)
  for (let round = 0; round < inputs; round++) {
    const bytes = input(random)
    try {
      run(bytes)
    } catch {
      Error.stackTraceLimit = stackTraceLimit
      console.error(`${name}, seed ${seed}, input ${round}: ${Buffer.from(bytes).toString('hex')}`)
      run(bytes)
      throw new Error('a finding that does not come twice')
    }
  }
  report(name, inputs, startedAt)
}
if ('wire framer'.includes(only)) {
  const startedAt = performance.now()
  runFuzz({ count, seed, target: fuzzFramer })
  report('wire framer', count, startedAt)
}

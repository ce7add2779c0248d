// Mutated hellos and random bytes: a connection ends with a TlsError or not at all, never with anything else.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ConnectionHandlers, ServerConnection, TlsError } from '@latchkey/tls'
import { concat, u16, u8 } from './support/bytes.ts'
import { encodeHello, plainRecord } from './support/client-hello.ts'
import { GROUP, RECORD } from './support/code-points.ts'
import { signatureFor, testContext, unfinishedWire, establishedWire } from './support/harness.ts'
import { mutatedBytes } from './support/mutate.ts'
import { offeredPsks } from './support/offered-psks.ts'
import { type Random, seededRandom } from './support/random.ts'
import { TestClient } from './support/test-client.ts'

const MUTATED_HELLOS = 16_000
const RANDOM_STREAMS = 3000
const MUTATED_RECORDS = 1000

const context = testContext({ alpnProtocols: ['h2', 'http/1.1'] })

/** Well-formed first records to start from. */
function seeds(): Uint8Array[] {
  const clients = [
    new TestClient(),
    new TestClient({ hello: { alpn: ['h2', 'http/1.1'] }, shares: [GROUP.x25519, GROUP.secp256r1] }),
    new TestClient({ hello: offeredPsks({ earlyData: true }) }),
    new TestClient({ shares: [], hello: { sessionId: new Uint8Array(0) } }),
    new TestClient({ hello: { versions: undefined, keyShares: undefined } }),
  ]
  return clients.map(({ hello }) => plainRecord(RECORD.handshake, encodeHello(hello), 0x0301))
}

/** The lengths of record and message made true again, so that mutations reach what is inside. */
function repaired(record: Uint8Array): Uint8Array {
  if (record.length < 9) return record
  const copy = record.slice(0, 5 + 0x4000)
  const fragment = copy.length - 5
  copy.set([22, 3, 1, ...u16(fragment), 1, 0, ...u16(fragment - 4)])
  return copy
}

function mutated(seed: Uint8Array, random: Random): Uint8Array {
  const bytes = mutatedBytes(seed, random)
  return random.below(4) === 0 ? bytes : repaired(bytes)
}

interface Outcome {
  readonly error: TlsError | undefined
  readonly isClosed: boolean
  readonly signCalls: number
  readonly outputBytes: number
}

/** Feeds `pieces` to a fresh server and fails on anything but a TlsError. */
function feed(pieces: readonly Uint8Array[]): Outcome {
  let error: unknown
  let closedCount = 0
  let signCalls = 0
  let outputBytes = 0
  let late = 0
  const handlers: ConnectionHandlers = {
    write: (chunks) => {
      late += closedCount
      for (const chunk of chunks) outputBytes += chunk.length
    },
    data: () => assert.fail('data without a handshake'),
    privateKeyOperation: (id, { kind, request }) => {
      late += closedCount
      signCalls++
      assert.equal(kind, 'sign')
      connection.privateKeyAnswered(id, signatureFor(request))
    },
    cancelPrivateKeyOperation: () => {},
    established: () => assert.fail('established without a Finished'),
    ended: () => assert.fail('ended without a handshake'),
    closed: (cause) => {
      closedCount++
      error = cause
    },
  }
  const connection: ServerConnection = new ServerConnection(context, handlers)
  for (const piece of pieces) connection.receive(piece)
  const isClosed = closedCount > 0
  assert.ok(closedCount <= 1, 'closed twice')
  assert.equal(late, 0, 'events after the end')
  if (!isClosed) connection.transportEnded()
  if (!(error instanceof TlsError)) assert.fail(`closed with ${String(error)}`)
  assert.notEqual(error.code, 'ERR_TLS_INTERNAL', error.stack ?? '')
  assert.ok(signCalls <= 1, `${signCalls} signatures`)
  return { error: isClosed ? error : undefined, isClosed, signCalls, outputBytes }
}

function split(bytes: Uint8Array, random: Random): Uint8Array[] {
  if (random.below(4) !== 0) return [bytes]
  const at = random.below(bytes.length + 1)
  return [bytes.subarray(0, at), bytes.subarray(at)]
}

test(`property a: ${MUTATED_HELLOS} mutated hellos end with a TlsError or wait for more`, () => {
  const random = seededRandom(0x8446)
  const codes = new Map<string, number>()
  const starts = seeds()
  let signatures = 0
  for (let count = 0; count < MUTATED_HELLOS; count++) {
    const bytes = mutated(random.pick(starts), random)
    let outcome: Outcome
    try {
      outcome = feed(split(bytes, random))
    } catch (cause) {
      throw new Error(`input ${count}: ${Buffer.from(bytes).toString('hex')}`, { cause })
    }
    const code = outcome.error?.code ?? 'open'
    codes.set(code, (codes.get(code) ?? 0) + 1)
    signatures += outcome.signCalls
    // What a client has not earned by a good hello is an alert: 7 bytes. A flight is about a kilobyte.
    if (outcome.signCalls === 0) assert.ok(outcome.outputBytes <= 200, `${outcome.outputBytes} bytes`)
  }
  // The mutations must reach every layer, or they prove little.
  for (const code of [
    'ERR_TLS_DECODE',
    'ERR_TLS_ILLEGAL_PARAMETER',
    'ERR_TLS_MISSING_EXTENSION',
    'ERR_TLS_HANDSHAKE_FAILURE',
    'ERR_TLS_PROTOCOL_VERSION',
    'ERR_TLS_UNEXPECTED_MESSAGE',
    'ERR_TLS_UNRECOGNIZED_NAME',
    'open',
  ]) {
    assert.ok((codes.get(code) ?? 0) > 10, `${code}: ${codes.get(code)}`)
  }
  assert.ok(signatures > 500, `${signatures} good hellos`)
})

test(`property a: ${RANDOM_STREAMS} random streams end with a TlsError or wait for more`, () => {
  const random = seededRandom(0x5246)
  for (let count = 0; count < RANDOM_STREAMS; count++) {
    const body = random.bytes(random.below(300))
    const start = random.pick([
      new Uint8Array(0),
      u8(RECORD.handshake),
      Uint8Array.of(RECORD.handshake, 3),
      concat(Uint8Array.of(RECORD.handshake, 3, 1), u16(body.length), u8(1)),
      Uint8Array.of(RECORD.handshake, 3, 3, 0, random.below(256), random.below(26)),
    ])
    feed(split(concat(start, body), random))
  }
})

test(`property a: ${MUTATED_RECORDS} mutated records after a good hello or handshake end with a TlsError or wait for more`, () => {
  const random = seededRandom(0x8448)
  const pool = [unfinishedWire, establishedWire]
  for (let count = 0; count < MUTATED_RECORDS; count++) {
    const wire = random.pick(pool)({ context })
    const inner = random.bytes(random.below(60))
    const type = random.pick([20, 21, 22, 22, 22, 23, 24, random.below(256)])
    if (random.below(2) === 0) wire.client.seal(type, inner, { padding: random.below(20) })
    else wire.client.plain(type, inner, random.below(0x10000))
    const bytes = wire.client.take()
    wire.deliver(random.below(3) === 0 ? mutated(bytes, random) : bytes)
    if (wire.closedCount === 0) continue
    assert.ok(wire.error === undefined || wire.error instanceof TlsError, String(wire.error))
    assert.notEqual(wire.error?.code, 'ERR_TLS_INTERNAL', wire.error?.stack ?? '')
    assert.equal(wire.closedCount, 1)
    assert.deepEqual(wire.lateEvents, [])
  }
})

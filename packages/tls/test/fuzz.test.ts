// The fuzzers of scripts/fuzz.ts, a little of each: that they find nothing, and that they could.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  fuzzClientHello,
  fuzzCredentialParts,
  fuzzRecords,
  fuzzServerConnection,
  fuzzTicket,
  sampleTickets,
} from '@latchkey/tls/fuzz'
import { encodeHelloBody } from './support/client-hello.ts'
import { readClientHello } from '../src/handshake/client-hello.ts'
import {
  fuzzConversation,
  fuzzHelloToServer,
  fuzzSessions,
  sampleConversations,
} from './support/fuzz-conversation.ts'
import { bodyOf, mutatedBytes, mutatedHello, partsOf } from './support/mutate.ts'
import { seededRandom } from './support/random.ts'
import { TestClient } from './support/test-client.ts'
import { defaultHello12 } from './support/test-client12.ts'

const random = seededRandom(0x15)
const bodies = [
  encodeHelloBody(new TestClient({ hello: { alpn: ['h2'] } }).hello),
  encodeHelloBody(defaultHello12()),
  new TestClient({ psks: { sessions: fuzzSessions } }).helloMessage().subarray(4),
]
const parts = bodies.map(partsOf)

/** How often each end came. */
function tally(ends: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const end of ends) counts.set(end, (counts.get(end) ?? 0) + 1)
  return counts
}

test('the parts of a hello make the hello again', () => {
  for (const body of bodies) {
    assert.deepEqual(Buffer.from(bodyOf(partsOf(body))), Buffer.from(body))
  }
})

test('property a: mutated hellos give a value or a TlsError, and both are common', () => {
  let good = 0
  for (let count = 0; count < 5000; count++) {
    const body = mutatedHello(parts, random)
    fuzzClientHello(body)
    try {
      readClientHello(body)
      good++
    } catch {}
  }
  assert.ok(good > 1000 && good < 4000, `${good} of 5000 can be read`)
})

test('property a: mutated hellos at a server that could serve them reach every end', () => {
  const ends = tally(Array.from({ length: 1000 }, () => fuzzHelloToServer(mutatedHello(parts, random))))
  // ERR_TLS_TRANSPORT: the hello was good, and nothing came after it.
  for (const code of [
    'ERR_TLS_TRANSPORT',
    'ERR_TLS_DECODE',
    'ERR_TLS_ILLEGAL_PARAMETER',
    'ERR_TLS_MISSING_EXTENSION',
    'ERR_TLS_HANDSHAKE_FAILURE',
    'ERR_TLS_PROTOCOL_VERSION',
    'ERR_TLS_DECRYPT',
  ])
    assert.ok((ends.get(code) ?? 0) > 0, `${code}: ${JSON.stringify([...ends])}`)
})

test('recorded conversations go on to a connection, and mutated ones end in many ways', () => {
  const samples = sampleConversations()
  const sound = tally(samples.map((sample) => fuzzConversation(sample)))
  assert.ok((sound.get('established, ERR_TLS_TRUNCATED') ?? 0) > 10, JSON.stringify([...sound]))
  const ends = tally(
    Array.from({ length: 1000 }, () => fuzzConversation(mutatedBytes(random.pick(samples), random))),
  )
  assert.ok(ends.size >= 10, JSON.stringify([...ends]))
})

test('records, tickets and what a credential carries: any bytes', () => {
  const tickets = sampleTickets()
  for (const ticket of tickets) fuzzTicket(ticket)
  for (let count = 0; count < 3000; count++) {
    const bytes = mutatedBytes(random.pick(bodies), random)
    fuzzRecords(bytes)
    fuzzServerConnection(bytes)
    fuzzCredentialParts(bytes.subarray(0, 100))
    fuzzTicket(mutatedBytes(random.pick(tickets), random))
  }
})

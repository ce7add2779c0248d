// Tickets offered as no client should, or that are of no use any more. RFC 8446 §4.2.9, §4.2.11, §4.6.1.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createTicketKeyring, type ServerContext, TICKET_LIFETIME_SECONDS, TicketSealer } from '@latchkey/tls'
import { concat, flipped, u8 } from './support/bytes.ts'
import { encodeHello } from './support/client-hello.ts'
import type { ClientSession, PskOffer } from './support/client-psk.ts'
import { type AlertText, EXTENSION, GROUP, RECORD, SUITE } from './support/code-points.ts'
import { type ContextOptions, establishedWire, testContext, Wire } from './support/harness.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import type { ClientOptions } from './support/test-client.ts'

const LIFETIME_MS = TICKET_LIFETIME_SECONDS * 1000

/** A server whose clock the test sets. */
class Server {
  now = 1_800_000_000_000
  readonly tickets = new TicketSealer({
    keyring: createTicketKeyring({ clock: () => this.now }),
    random: (count) => new Uint8Array(randomBytes(count)),
    clock: () => this.now,
  })

  context(options: ContextOptions = {}): ServerContext {
    return testContext({ tickets: this.tickets, clock: () => this.now, ...options })
  }
}

/** The sessions of one full handshake. */
function sessionsOf(context: ServerContext, options: ClientOptions = {}): ClientSession[] {
  const extra = [{ type: EXTENSION.psk_key_exchange_modes, body: Uint8Array.of(1, 1) }]
  const wire = establishedWire({ context, ...options, hello: { extra, ...options.hello } })
  // Tickets travel with the first data.
  wire.server.send([u8(1)])
  wire.run()
  return wire.client.sessions
}

function firstSession(context: ServerContext, options?: ClientOptions): ClientSession {
  const [session] = sessionsOf(context, options)
  assert.ok(session !== undefined)
  return session
}

function offer(context: ServerContext, psks: PskOffer, options: ClientOptions = {}): Wire {
  return new Wire({ context, psks, ...options }).start()
}

function assertResumed(wire: Wire): void {
  assertEstablished(wire)
  assert.equal(wire.signCalls.length, 0, 'a resumption asks for no signature')
  assert.equal(wire.session?.isResumed, true)
  assert.ok(wire.client.resumed !== undefined)
}

/** Not an alert: what is of no use is passed over. */
function assertFull(wire: Wire): void {
  assertEstablished(wire)
  assert.equal(wire.signCalls.length, 1)
  assert.equal(wire.session?.isResumed, false)
  assert.equal(wire.client.resumed, undefined)
}

for (const [name, suite] of Object.entries(SUITE)) {
  test(`a session resumes, directly and after a retry, with ${name}`, () => {
    const context = new Server().context()
    const hello = { suites: [suite] }
    const sessions = sessionsOf(context, { hello })
    assert.equal(sessions.length, 2)
    assert.deepEqual(
      sessions.map(({ lifetimeSeconds }) => lifetimeSeconds),
      [TICKET_LIFETIME_SECONDS, TICKET_LIFETIME_SECONDS],
    )
    assertResumed(offer(context, { sessions }, { hello }))
    const retried = offer(context, { sessions }, { hello, shares: [] })
    assertResumed(retried)
    assert.equal(retried.session?.usedHelloRetryRequest, true)
  })
}

test('a resumed connection gives one new ticket, which resumes too', () => {
  const context = new Server().context()
  const wire = offer(context, { sessions: sessionsOf(context) })
  assertResumed(wire)
  assert.equal(wire.client.sessions.length, 1)
  assertResumed(offer(context, { sessions: wire.client.sessions }))
})

// ── row 20: binders ───────────────────────────────────────────────────────────────────────────────────────────────

const BINDERS: readonly {
  readonly name: string
  readonly binder: (good: Uint8Array) => Uint8Array
  readonly binderBytes?: number
  readonly alert: AlertText
}[] = [
  { name: 'wrong in its first byte', binder: (good) => flipped(good, 0), alert: 'decrypt_error' },
  { name: 'wrong in its last bit', binder: (good) => flipped(good, good.length - 1), alert: 'decrypt_error' },
  { name: 'of zeros', binder: (good) => new Uint8Array(good.length), alert: 'decrypt_error' },
  { name: 'a byte longer', binder: (good) => concat(good, u8(0)), binderBytes: 49, alert: 'decrypt_error' },
  {
    name: 'short, of 32 bytes where 48 are due',
    binder: (good) => good.subarray(0, 32),
    binderBytes: 32,
    alert: 'decrypt_error',
  },
  { name: 'of 31 bytes', binder: (good) => good.subarray(0, 31), binderBytes: 31, alert: 'decrypt_error' },
  { name: 'empty', binder: () => new Uint8Array(0), binderBytes: 0, alert: 'decrypt_error' },
]

for (const { name, alert, ...binders } of BINDERS) {
  test(`row 20: a binder ${name}`, () => {
    const context = new Server().context()
    // Of SHA-384, so that a binder of the other hash's length is a short one.
    const hello = { suites: [SUITE.TLS_AES_256_GCM_SHA384] }
    const sessions = [firstSession(context, { hello })]
    for (const shares of [[GROUP.x25519], []])
      assertRefused(offer(context, { sessions, ...binders }, { hello, shares }), alert)
  })
}

test('row 20: a binder from another transcript', () => {
  const context = new Server().context()
  const sessions = [firstSession(context)]
  let other: Uint8Array | undefined
  const keep = (good: Uint8Array): Uint8Array => {
    other = good
    return good
  }
  assertResumed(offer(context, { sessions, binder: keep }))
  // The same ticket and the same key, but another random.
  assertRefused(offer(context, { sessions, binder: () => other as Uint8Array }), 'decrypt_error')
})

test('row 20: after a retry the binder of the first hello', () => {
  const context = new Server().context()
  const sessions = [firstSession(context)]
  const made: Uint8Array[] = []
  const first = (good: Uint8Array): Uint8Array => {
    made.push(good)
    return made[0] as Uint8Array
  }
  assertRefused(offer(context, { sessions, binder: first }, { shares: [] }), 'decrypt_error')
})

test('row 20: after a retry no PSK any more, though it goes with what the retry chose', () => {
  const context = new Server().context()
  const sessions = [firstSession(context)]
  const wire = offer(context, { sessions }, { shares: [], autoRetry: false })
  const { hello } = wire.client
  const extra = hello.extra.filter(({ type }) => type !== EXTENSION.pre_shared_key)
  wire.client.plain(RECORD.handshake, encodeHello({ ...hello, extra }))
  assertRefused(wire.run(), 'missing_extension')
})

test('row 20: a binder that belongs to another of the offered sessions', () => {
  const context = new Server().context()
  const [one, two] = sessionsOf(context)
  assert.ok(one !== undefined && two !== undefined)
  const swapped = { ...one, secret: two.secret }
  assertRefused(offer(context, { sessions: [swapped, two] }), 'decrypt_error')
})

// ── row 21: modes ─────────────────────────────────────────────────────────────────────────────────────────────────

test('row 21: a good ticket without psk_key_exchange_modes', () => {
  const context = new Server().context()
  const sessions = [firstSession(context)]
  assertRefused(offer(context, { sessions, modes: undefined }), 'missing_extension')
})

for (const [name, modes] of [
  ['only psk_ke', [0]],
  ['only unknown modes', [2, 0x0b, 0xff]],
] as const) {
  test(`row 21: a good ticket with ${name} leads to a full handshake without a new ticket`, () => {
    const context = new Server().context()
    const wire = offer(context, { sessions: [firstSession(context)], modes })
    assertFull(wire)
    assert.equal(wire.client.sessions.length, 0)
  })
}

// ── row 22: tickets of no use ─────────────────────────────────────────────────────────────────────────────────────

test('row 22: a ticket with any bit flipped', () => {
  const context = new Server().context()
  const session = firstSession(context)
  for (let at = 0; at < session.ticket.length; at++) {
    const ticket = flipped(session.ticket, at, 1 << (at % 8))
    assertFull(offer(context, { sessions: [{ ...session, ticket }] }))
  }
})

test('row 22: a ticket cut short, continued, or of no bytes of ours', () => {
  const context = new Server().context()
  const session = firstSession(context)
  const { length } = session.ticket
  const tickets = [1, 32, 33, length - 16, length - 1].map((end) => session.ticket.subarray(0, end))
  for (const ticket of [
    ...tickets,
    concat(session.ticket, u8(0)),
    new Uint8Array(length),
    new Uint8Array(5000),
  ])
    assertFull(offer(context, { sessions: [{ ...session, ticket }] }))
})

/** Gives the server that sealed the ticket, and the context it is offered to. */
const USELESS: Readonly<
  Record<string, (server: Server) => { sessions: ClientSession[]; context: ServerContext }>
> = {
  'of an unknown key': (server) => ({
    sessions: sessionsOf(new Server().context()),
    context: server.context(),
  }),
  'that is expired': (server) => {
    const sessions = sessionsOf(server.context())
    server.now += LIFETIME_MS + 1
    return { sessions, context: server.context() }
  },
  'of another tenant': (server) => ({
    sessions: sessionsOf(server.context({ ticketTenant: 'a' })),
    context: server.context({ ticketTenant: 'b' }),
  }),
  'of another server name': (server) => ({
    sessions: sessionsOf(server.context(), { hello: { serverName: 'other.example.com' } }),
    context: server.context(),
  }),
  'of another hash': (server) => ({
    sessions: sessionsOf(server.context(), { hello: { suites: [SUITE.TLS_AES_256_GCM_SHA384] } }),
    context: server.context({ cipherSuites: ['TLS_AES_128_GCM_SHA256'] }),
  }),
  'of another certificate': (server) => ({
    sessions: sessionsOf(server.context({ kinds: ['p256'] })),
    context: server.context({ kinds: ['rsa2048'] }),
  }),
  'of another version': (server) => ({
    sessions: sessionsOf(server.context()).map((session) => ofVersion12(server, session)),
    context: server.context(),
  }),
  'from the future': (server) => {
    const sessions = sessionsOf(server.context())
    server.now -= 60_000
    return { sessions, context: server.context() }
  },
}

/** The same session, as if it had been one of TLS 1.2. */
function ofVersion12({ tickets }: Server, session: ClientSession): ClientSession {
  const state = tickets.open(session.ticket)
  assert.ok(state !== undefined)
  const ticket = tickets.seal({ ...state, secret: new Uint8Array(48), protocolVersion: 0x0303 })
  assert.ok(ticket !== undefined)
  return { ...session, ticket }
}

for (const [name, prepare] of Object.entries(USELESS)) {
  test(`row 22: a ticket ${name}`, () => {
    const { sessions, context } = prepare(new Server())
    assert.equal(sessions.length, 2)
    assertFull(offer(context, { sessions }))
    assertFull(offer(context, { sessions }, { shares: [] }))
    // A wrong binder of a ticket that is passed over is of no interest.
    assertFull(offer(context, { sessions, binder: (good) => flipped(good, 3) }))
  })
}

test('row 22: a good ticket behind one that is of no use is taken, behind two it is not looked at', () => {
  const server = new Server()
  const context = server.context()
  const good = firstSession(context)
  const [bad, worse] = sessionsOf(new Server().context())
  assert.ok(bad !== undefined && worse !== undefined)
  const second = offer(context, { sessions: [bad, good] })
  assertResumed(second)
  assert.equal(second.client.resumed, good)
  assertFull(offer(context, { sessions: [bad, worse, good] }))
})

test('row 42: a resumption succeeds while the signer is down', () => {
  const context = new Server().context()
  const sessions = sessionsOf(context)
  assertResumed(new Wire({ context, psks: { sessions }, signing: 'hold' }).start())
})

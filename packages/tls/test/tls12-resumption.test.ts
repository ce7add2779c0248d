// TLS 1.2 sessions that go on by ticket: no certificate, no signature. RFC 5077, RFC 7627 §5.3.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTicketKeyring, type ServerContext, TICKET_LIFETIME_SECONDS, TicketSealer } from '@latchkey/tls'
import { ascii, flipped, patched, toHex, u8 } from './support/bytes.ts'
import { encodeHello, message } from './support/client-hello.ts'
import { EXTENSION, MESSAGE, RECORD, SUITE, SUITE12 } from './support/code-points.ts'
import { type ContextOptions, testContext, Wire, Wire12, type Wire12Options } from './support/harness.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import { seededRandom } from './support/random.ts'
import { grease } from './support/test-client.ts'
import type { Session12, TestClient12 } from './support/test-client12.ts'

const HOUR_MS = 3_600_000

/** A server whose clock the test moves. */
class Bench {
  now = 1_800_000_000_000
  readonly #random = seededRandom(0x5077)
  readonly clock = (): number => this.now
  readonly tickets = new TicketSealer({
    keyring: createTicketKeyring({ clock: this.clock }),
    random: (count) => this.#random.bytes(count),
    clock: this.clock,
  })
  readonly context = this.with({})

  with(options: ContextOptions): ServerContext {
    return testContext({ kinds: ['p256', 'rsa2048'], tickets: this.tickets, clock: this.clock, ...options })
  }

  /** A full handshake that brings a ticket. */
  session(options: Wire12Options = {}): Session12 {
    const wire = new Wire12({ context: this.context, hasSessionTicket: true, ...options }).start()
    assertEstablished(wire)
    assert.equal(wire.session?.isResumed, false)
    return wire.client.session ?? assert.fail('no ticket')
  }

  /** A handshake that offers `session`; its signer never answers. */
  resume(session: Session12, options: Wire12Options = {}): Wire12 {
    return new Wire12({ context: this.context, signing: 'hold', session, ...options }).start()
  }
}

function assertResumed(wire: Wire12): void {
  assertEstablished(wire)
  assert.ok(wire.client.isResumed)
  assert.equal(wire.signCalls.length, 0)
}

/** The server went for a full handshake: it asks for a signature. */
function assertFull(wire: Wire12): void {
  assert.equal(wire.error, undefined)
  assert.equal(wire.client.isResumed, false)
  assert.equal(wire.client.serverSessionId.length, 0)
  assert.equal(wire.signCalls.length, 1)
}

// ── a session that goes on ──────────────────────────────────────────────────────────────────────────────────────────

for (const [name, suite] of Object.entries(SUITE12)) {
  test(`${name} is resumed without a signer`, () => {
    const bench = new Bench()
    const first = new Wire12({
      context: bench.context,
      hasSessionTicket: true,
      hello: { suites: [suite] },
    }).start()
    assertEstablished(first)
    const wire = bench.resume(first.client.session ?? assert.fail(), { hello: { alpn: ['http/1.1'] } })
    assertResumed(wire)
    assert.deepEqual(
      wire.client.messages.map(({ type }) => type),
      [MESSAGE.server_hello, MESSAGE.finished],
    )
    const { session } = wire
    assert.deepEqual(
      [session?.protocol, session?.cipherSuite, session?.alpnProtocol, session?.serverName],
      ['TLSv1.2', name, 'http/1.1', 'example.com'],
    )
    assert.deepEqual(
      [session?.isResumed, session?.group, session?.signatureScheme],
      [true, undefined, undefined],
    )
    assert.equal(session?.credential, first.session?.credential)
  })
}

test('a full handshake gives one ticket, good for 18 hours, between the two Finished', () => {
  const bench = new Bench()
  const { client } = new Wire12({ context: bench.context, hasSessionTicket: true }).start()
  assert.deepEqual(
    client.messages.slice(-3).map(({ type }) => type),
    [MESSAGE.server_hello_done, MESSAGE.new_session_ticket, MESSAGE.finished],
  )
  assert.deepEqual(client.recordTypes.slice(-3), [RECORD.handshake, RECORD.ccs, RECORD.handshake])
  assert.equal(client.session?.lifetimeSeconds, 64_800)
  assert.equal(toHex(client.extensions.get(EXTENSION.session_ticket) ?? u8(1)), '')
})

test('a resumption answers what it is offered, the session id included, but not the server name', () => {
  const bench = new Bench()
  const { client } = bench.resume(bench.session())
  assert.equal(toHex(client.serverSessionId), toHex(client.hello.sessionId))
  assert.deepEqual(
    new Set(client.extensions.keys()),
    new Set([EXTENSION.renegotiation_info, EXTENSION.extended_master_secret, EXTENSION.ec_point_formats]),
  )
  assert.equal(toHex(client.serverRandom.subarray(24)), '444f574e47524401')
})

test('a client without a session id learns by what comes next', () => {
  const bench = new Bench()
  const session = bench.session()
  const hello = { sessionId: new Uint8Array(0) }
  assertResumed(bench.resume(session, { hello }))
  bench.now += 10 * HOUR_MS
  const wire = bench.resume(session, { hello })
  assertResumed(wire)
  assert.notEqual(wire.client.session, undefined)
})

test('the keys are new each time, though the secret is not', () => {
  const bench = new Bench()
  const session = bench.session()
  const records = [bench.resume(session), bench.resume(session)].map(({ client }) => {
    client.send(ascii('the same'))
    return toHex(client.take())
  })
  assert.notEqual(records[0], records[1])
})

test('a resumption needs no group, no scheme and no suite but its own', () => {
  const bench = new Bench()
  const session = bench.session({ hello: { suites: [SUITE12.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384] } })
  assertResumed(
    bench.resume(session, {
      hello: { suites: [grease(1), 0xc013, session.suite.code], groups: undefined, schemes: undefined },
    }),
  )
})

test('bytes may come in pieces, and each message of the client may be split', () => {
  const bench = new Bench()
  const session = bench.session()
  for (const pieceBytes of [1, 7, 64]) assertResumed(bench.resume(session, { pieceBytes }))
  for (let at = 1; at < 16; at++) {
    const wire = bench.resume(session, { autoFinish: false })
    wire.client.changeCipherSpec()
    const bytes = wire.client.finishedMessage()
    wire.client.record(RECORD.handshake, bytes.subarray(0, at)).finish(bytes.subarray(at))
    assertResumed(wire.run())
  }
})

test('what is written in the moment the handshake is done comes behind it', () => {
  const bench = new Bench()
  const wire = new Wire12({ context: bench.context, session: bench.session() })
  wire.onEstablished = () => wire.server.send([ascii('first')])
  wire.start()
  assert.equal(Buffer.from(wire.client.received).toString(), 'first')
})

test('admission: a ticket gets in when full handshakes do not, as long as resumptions have tokens', () => {
  const bench = new Bench()
  const one = { total: { perSecond: 0, burst: 1 } }
  const context = bench.with({ admission: { full: one, resumed: one } })
  const session = bench.session({ context })
  assertRefused(new Wire12({ context }).start(), 'internal_error')
  assertResumed(bench.resume(session, { context }))
  const refused = bench.resume(session, { context })
  assertRefused(refused, 'internal_error')
  assert.equal(refused.error?.code, 'ERR_TLS_NOT_ADMITTED')
})

// ── renewal ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test('a ticket is renewed in the second half of its life, and a chain of them ends with the first', () => {
  const bench = new Bench()
  const session = bench.session()
  bench.now += 9 * HOUR_MS
  assert.equal(bench.resume(session).client.session, undefined)
  bench.now += 1
  const wire = bench.resume(session)
  assertResumed(wire)
  assert.deepEqual(
    wire.client.messages.map(({ type }) => type),
    [MESSAGE.server_hello, MESSAGE.new_session_ticket, MESSAGE.finished],
  )
  const renewed = wire.client.session ?? assert.fail()
  assert.equal(renewed.lifetimeSeconds, TICKET_LIFETIME_SECONDS)
  assert.notEqual(toHex(renewed.ticket), toHex(session.ticket))
  bench.now += 9 * HOUR_MS - 1
  for (const each of [session, renewed]) assertResumed(bench.resume(each))
  bench.now += 1
  for (const each of [session, renewed]) assertFull(bench.resume(each))
})

// ── no ticket ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('no ticket without extended_master_secret, without the extension, or without a sealer', () => {
  const bench = new Bench()
  const rows: Wire12Options[] = [
    { hasSessionTicket: true, hasExtendedMasterSecret: false },
    { hasSessionTicket: false },
    { hasSessionTicket: true, context: bench.with({ tickets: undefined }) },
  ]
  for (const options of rows) {
    const wire = new Wire12({ context: bench.context, ...options }).start()
    assertEstablished(wire)
    assert.equal(wire.client.session, undefined)
    assert.equal(wire.client.extensions.has(EXTENSION.session_ticket), false)
  }
})

test('a server that has lost its keys says so with an empty ticket', () => {
  const bench = new Bench()
  const keyring = { current: () => undefined, find: () => undefined }
  const tickets = new TicketSealer({ keyring, random: (count) => new Uint8Array(count), clock: bench.clock })
  const wire = new Wire12({ context: bench.with({ tickets }), hasSessionTicket: true }).start()
  assertEstablished(wire)
  assert.deepEqual([wire.client.session?.ticket.length, wire.client.session?.lifetimeSeconds], [0, 0])
})

// ── tickets of no use ───────────────────────────────────────────────────────────────────────────────────────────────

/** A full handshake follows, never an alert. */
const USELESS: readonly {
  readonly name: string
  readonly offer: (bench: Bench) => { readonly session: Session12 } & Wire12Options
}[] = [
  {
    name: 'after 18 hours',
    offer: (bench) => {
      const session = bench.session()
      bench.now += 18 * HOUR_MS + 1
      return { session }
    },
  },
  {
    name: 'from the future',
    offer: (bench) => {
      const session = bench.session()
      bench.now -= 60_000
      return { session }
    },
  },
  {
    name: 'for another name',
    offer: (bench) => ({ session: bench.session(), hello: { serverName: 'a.example.com' } }),
  },
  {
    name: 'for no name',
    offer: (bench) => ({
      session: bench.session(),
      hello: { serverName: undefined },
      context: bench.with({ isDefault: true }),
    }),
  },
  {
    name: 'for another tenant',
    offer: (bench) => ({ session: bench.session(), context: bench.with({ ticketTenant: 'other' }) }),
  },
  {
    name: 'when the certificate has another key now',
    offer: (bench) => ({
      session: bench.session({ hello: { suites: [0xc02f] } }),
      context: bench.with({ kinds: ['p256'] }),
    }),
  },
  { name: 'with other keys', offer: (bench) => ({ session: new Bench().session(), context: bench.context }) },
  {
    name: 'when its suite is not offered',
    offer: (bench) => ({
      session: bench.session({ hello: { suites: [0xc02b] } }),
      hello: { suites: [0xc02c] },
    }),
  },
  {
    name: 'when its suite is switched off',
    offer: (bench) => ({
      session: bench.session({ hello: { suites: [0xc02b] } }),
      context: bench.with({ cipherSuites12: ['TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'] }),
    }),
  },
  {
    name: 'when there is no sealer',
    offer: (bench) => ({ session: bench.session(), context: bench.with({ tickets: undefined }) }),
  },
  {
    name: 'of a session without extended_master_secret',
    offer: (bench) => ({ session: { ...bench.session(), ticket: sealedState(bench, { flags: 0 }) } }),
  },
  {
    name: 'of a session of TLS 1.3',
    offer: (bench) => ({
      session: { ...bench.session(), ticket: sealedState(bench, { protocolVersion: 0x0304 }) },
    }),
  },
]

/** A ticket that differs from a good one in `changed` only. */
function sealedState(
  bench: Bench,
  changed: { protocolVersion?: number; flags?: number; cipherSuite?: number },
): Uint8Array {
  const state = bench.tickets.open(bench.session().ticket) ?? assert.fail()
  return bench.tickets.seal({ ...state, ...changed }) ?? assert.fail()
}

for (const { name, offer } of USELESS) {
  test(`a TLS 1.2 ticket is of no use ${name}`, () => {
    const bench = new Bench()
    const { session, ...options } = offer(bench)
    assertFull(bench.resume(session, options))
  })
}

test('a ticket is of no use with any bit of it changed, cut short, or longer', () => {
  const bench = new Bench()
  const session = bench.session()
  const { ticket } = session
  for (let at = 0; at < ticket.length; at++)
    assertFull(bench.resume({ ...session, ticket: flipped(ticket, at, 1 << (at % 8)) }))
  for (const bytes of [ticket.subarray(0, -1), ticket.subarray(0, 1), Uint8Array.from([...ticket, 0])])
    assertFull(bench.resume({ ...session, ticket: bytes }))
})

test('the tickets made up for these tests are good but for what they change', () => {
  const bench = new Bench()
  const session = bench.session()
  const state = bench.tickets.open(session.ticket) ?? assert.fail()
  assertResumed(bench.resume({ ...session, ticket: bench.tickets.seal(state) ?? assert.fail() }))
})

test('a full handshake that follows a useless ticket brings a new one', () => {
  const bench = new Bench()
  const session = bench.session()
  bench.now += 19 * HOUR_MS
  const wire = bench.resume(session, { signing: 'after' })
  assertEstablished(wire)
  assertResumed(bench.resume(wire.client.session ?? assert.fail()))
})

test('a ticket of TLS 1.2 is none in TLS 1.3', () => {
  const bench = new Bench()
  // Even if it named a suite of TLS 1.3: taken for a good one, it would be refused for its binder.
  const ticket = sealedState(bench, { cipherSuite: SUITE.TLS_AES_128_GCM_SHA256 })
  const identity = Uint8Array.from([0, ticket.length, ...ticket, 0, 0, 0, 0])
  const binder = Uint8Array.from([32, ...new Uint8Array(32)])
  const body = Uint8Array.from([0, identity.length, ...identity, 0, binder.length, ...binder])
  const extra = [
    { type: EXTENSION.psk_key_exchange_modes, body: Uint8Array.of(1, 1) },
    { type: EXTENSION.pre_shared_key, body },
  ]
  const wire = new Wire({ context: bench.context, hello: { extra } }).start()
  assertEstablished(wire)
  assert.equal(wire.session?.isResumed, false)
})

// ── extended_master_secret ──────────────────────────────────────────────────────────────────────────────────────────

test('a client that had extended_master_secret and has it no more is refused', () => {
  const bench = new Bench()
  const wire = bench.resume(bench.session(), { hasExtendedMasterSecret: false })
  assertRefused(wire, 'handshake_failure')
})

// ── what a client must not do ───────────────────────────────────────────────────────────────────────────────────────

const REFUSED: readonly [string, (wire: Wire12) => unknown, Parameters<typeof assertRefused>[1]][] = [
  ['no change_cipher_spec', ({ client }) => client.protectWrites().finish(), 'unexpected_message'],
  [
    'two change_cipher_spec',
    ({ client }) => client.changeCipherSpec().plain(RECORD.ccs, u8(1)),
    'unexpected_message',
  ],
  ['change_cipher_spec of 2', ({ client }) => client.plain(RECORD.ccs, u8(2)), 'illegal_parameter'],
  [
    'Finished in the clear',
    ({ client }) => client.plain(RECORD.handshake, client.finishedMessage()),
    'unexpected_message',
  ],
  [
    'a wrong Finished',
    ({ client }) => client.changeCipherSpec().finish(flipped(client.finishedMessage(), 15)),
    'decrypt_error',
  ],
  [
    'our own Finished',
    ({ client }) => client.changeCipherSpec().finish(patched(client.transcript.at(-1) ?? u8(0), 0)),
    'decrypt_error',
  ],
  [
    'a Finished of 11 bytes',
    ({ client }) => client.changeCipherSpec().finish(message(MESSAGE.finished, new Uint8Array(11))),
    'decode_error',
  ],
  [
    'ClientKeyExchange',
    ({ client }) => client.record(RECORD.handshake, message(MESSAGE.client_key_exchange, new Uint8Array(33))),
    'unexpected_message',
  ],
  [
    'a second ClientHello',
    ({ client }) => client.plain(RECORD.handshake, encodeHello(client.hello)),
    'unexpected_message',
  ],
  ['data before Finished', ({ client }) => client.changeCipherSpec().send(ascii('x')), 'unexpected_message'],
  ['data in the clear', ({ client }) => client.plain(RECORD.data, ascii('x')), 'unexpected_message'],
  ['an alert', ({ client }) => client.alert(40), undefined],
]

for (const [name, send, alert] of REFUSED) {
  test(`TLS 1.2 resumption refused: ${name}`, () => {
    const bench = new Bench()
    const wire = bench.resume(bench.session(), { autoFinish: false })
    assert.equal(wire.client.state, 'server done')
    send(wire)
    assertRefused(wire.run(), alert, { encrypted: true })
  })
}

/** What a client may say after the server's Finished, well formed each. */
const STEPS: Readonly<Record<string, (client: TestClient12) => unknown>> = {
  ccs: (client) => client.changeCipherSpec(),
  'silent ccs': (client) => client.protectWrites(),
  finish: (client) => client.finish(),
  hello: (client) => client.record(RECORD.handshake, encodeHello(client.hello)),
  data: (client) => client.send(ascii('x')),
}

test('of all orders of two steps one leads to a resumed connection', () => {
  const bench = new Bench()
  const session = bench.session()
  const good: string[] = []
  for (const first of Object.keys(STEPS)) {
    for (const second of Object.keys(STEPS)) {
      const wire = bench.resume(session, { autoFinish: false })
      for (const step of [first, second]) {
        STEPS[step]?.(wire.client)
        wire.run()
      }
      assert.notEqual(wire.error?.code, 'ERR_TLS_INTERNAL')
      if (wire.establishedCount > 0) good.push(`${first},${second}`)
    }
  }
  assert.deepEqual(good, ['ccs,finish'])
})

test('a hello that offers a ticket, with one bit changed, is never a bug of ours', () => {
  const bench = new Bench()
  const session = bench.session()
  const random = seededRandom(0x7627)
  for (let count = 0; count < 300; count++) {
    const wire = new Wire12({ context: bench.context, signing: 'hold', session })
    const hello = encodeHello(wire.client.hello)
    wire.client.start(flipped(hello, 4 + random.below(hello.length - 4), 1 << random.below(8)))
    wire.deliver(wire.client.take())
    assert.notEqual(wire.error?.code, 'ERR_TLS_INTERNAL', String(wire.error?.stack))
    assert.deepEqual(wire.lateEvents, [])
  }
})

test('a client that goes away in a resumption leaves nothing behind', () => {
  const bench = new Bench()
  const wire = bench.resume(bench.session(), { autoFinish: false })
  wire.server.transportEnded()
  assert.equal(wire.error?.code, 'ERR_TLS_TRANSPORT')
  assert.deepEqual(wire.lateEvents, [])
})

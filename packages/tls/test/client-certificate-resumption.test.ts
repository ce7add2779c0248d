// Sessions of clients that showed a certificate, resumed by ticket in both versions: nothing is signed or asked for, and the
// policy decides again. RFC 8446 §2.2, §4.6.1; RFC 5077 §3.1.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type ClientCertificatePolicy,
  createClientCaPolicy,
  createTicketKeyring,
  type ServerContext,
  type Session,
  TICKET_LIFETIME_SECONDS,
  TicketSealer,
  type TicketSealerOptions,
  TlsError,
} from '@latchkey/tls'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { EarlyStage } from '../src/handshake/key-schedule.ts'
import { flipped, toHex } from './support/bytes.ts'
import { type ClientCertificate, clientCertificate } from './support/client-certificate.ts'
import type { ClientSession } from './support/client-psk.ts'
import { EXTENSION } from './support/code-points.ts'
import { type ContextOptions, type Signing, testContext, Wire, Wire12 } from './support/harness.ts'
import { assertEstablished } from './support/outcome.ts'
import { seededRandom } from './support/random.ts'
import type { Session12 } from './support/test-client12.ts'

const HOUR_MS = 3_600_000
const START = 1_800_000_000_000
const VALID = { notBefore: new Date(START - HOUR_MS), notAfter: new Date(START + 1000 * HOUR_MS) }

const root = await createThrowawayCa(VALID)
const intermediate = await root.issueIntermediate(VALID)
const otherRoot = await createThrowawayCa(VALID)
const usual = clientCertificate(await intermediate.issue({ ...VALID, commonName: 'a client' }))
const newer = clientCertificate(await intermediate.issue({ ...VALID, commonName: 'the same, renewed' }))
const brief = clientCertificate(
  await intermediate.issue({
    ...VALID,
    notAfter: new Date(START + 2 * HOUR_MS),
    commonName: 'for two hours',
  }),
)
const stranger = clientCertificate(await otherRoot.issue({ ...VALID, commonName: 'a stranger' }))

const required = createClientCaPolicy({ ca: root.certificatePem })
const tolerant = createClientCaPolicy({ ca: root.certificatePem, rejectUnauthorized: false })
const ofOtherRoot = createClientCaPolicy({ ca: otherRoot.certificatePem })
const tolerantOfOtherRoot = createClientCaPolicy({ ca: otherRoot.certificatePem, rejectUnauthorized: false })

/** A server whose clock and policy the test changes. */
class Bench {
  now = START
  policy: ClientCertificatePolicy | undefined
  readonly #random = seededRandom(0x8446)
  readonly clock = (): number => this.now
  readonly keyring = createTicketKeyring({ clock: this.clock })
  readonly context: ServerContext

  constructor(policy: ClientCertificatePolicy | undefined, options: Partial<TicketSealerOptions> = {}) {
    this.policy = policy
    this.context = this.process(options)
  }

  /** Another process has the keys, and nothing else. */
  process(options: Partial<TicketSealerOptions> = {}, more: ContextOptions = {}): ServerContext {
    const random = (count: number): Uint8Array => this.#random.bytes(count)
    const tickets = new TicketSealer({ keyring: this.keyring, random, clock: this.clock, ...options })
    return testContext({ clientCertificates: () => this.policy, tickets, clock: this.clock, ...more })
  }
}

interface Visit {
  readonly certificate?: ClientCertificate
  readonly session?: ClientSession | Session12
  readonly signing?: Signing
}

interface Version {
  readonly name: string
  visit(context: ServerContext, visit?: Visit): Wire | Wire12
  /** What a visit brought, once data has flowed. */
  ticket(wire: Wire | Wire12): ClientSession | Session12
  readonly noCertificate: string
}

const PSK_DHE_KE = { extra: [{ type: EXTENSION.psk_key_exchange_modes, body: Uint8Array.of(1, 1) }] }

const TLS13: Version = {
  name: 'TLS 1.3',
  visit(context, { session, ...visit } = {}) {
    const offer = session && { psks: { sessions: [session as ClientSession] } }
    return new Wire({ context, ...visit, ...(offer ?? { hello: PSK_DHE_KE }) }).start()
  },
  ticket: (wire) => (wire as Wire).client.sessions[0] ?? assert.fail('no ticket'),
  noCertificate: 'ERR_TLS_CERTIFICATE_REQUIRED',
}
const TLS12: Version = {
  name: 'TLS 1.2',
  visit: (context, { session, ...visit } = {}) =>
    new Wire12({
      context,
      hasSessionTicket: true,
      ...visit,
      ...(session && { session: session as Session12 }),
    }).start(),
  ticket: (wire) => (wire as Wire12).client.session ?? assert.fail('no ticket'),
  noCertificate: 'ERR_TLS_HANDSHAKE_FAILURE',
}

function assertFull(wire: Wire | Wire12): Session {
  assertEstablished(wire)
  assert.equal(wire.session?.isResumed, false)
  assert.equal(wire.signCalls.length, 1)
  return wire.session
}

/** Nothing was signed, nothing asked for. */
function assertResumed(wire: Wire | Wire12): Session {
  assertEstablished(wire)
  assert.equal(wire.session?.isResumed, true)
  assert.equal(wire.signCalls.length, 0)
  assert.equal(wire.client.certificateRequest, undefined)
  return wire.session
}

function client({ peerCertificates, authorized, authorizationError }: Session): unknown[] {
  return [peerCertificates.map(toHex), authorized, authorizationError]
}

const known = (certificate: ClientCertificate): unknown[] => [certificate.chain.map(toHex), true, undefined]

/** A full handshake, and what it brought. */
function begin(version: Version, bench: Bench, certificate?: ClientCertificate): ClientSession | Session12 {
  const wire = version.visit(bench.context, certificate && { certificate })
  assertFull(wire)
  return version.ticket(wire)
}

/** No signer answers. */
function resume(version: Version, bench: Bench, visit: Visit): Wire | Wire12 {
  return version.visit(bench.context, { signing: 'hold', ...visit })
}

for (const version of [TLS13, TLS12]) {
  for (const policy of [required, tolerant]) {
    const where = policy.isRequired ? 'required' : 'asked for'
    test(`${version.name}: a client with a certificate is resumed where one is ${where}, again and again`, () => {
      const bench = new Bench(policy)
      let session = begin(version, bench, usual)
      for (let visit = 0; visit < 3; visit++) {
        bench.now += 4 * HOUR_MS
        const wire = resume(version, bench, { session, certificate: usual })
        assert.deepEqual(client(assertResumed(wire)), known(usual))
        // TLS 1.2 renews a ticket in the second half of its life only.
        if (version === TLS13 || visit === 2) session = version.ticket(wire)
      }
      bench.now = START + TICKET_LIFETIME_SECONDS * 1000
      assertResumed(resume(version, bench, { session }))
      bench.now++
      assertFull(version.visit(bench.context, { session, certificate: usual }))
    })
  }

  test(`${version.name}: a session without a certificate is resumed where none is required, and not where one is`, () => {
    for (const from of [undefined, tolerant]) {
      const bench = new Bench(from)
      const session = begin(version, bench)
      bench.policy = tolerant
      const again = assertResumed(resume(version, bench, { session }))
      assert.deepEqual(client(again), [[], false, 'ERR_TLS_CERTIFICATE_REQUIRED'])
      bench.policy = undefined
      assert.deepEqual(client(assertResumed(resume(version, bench, { session }))), [[], false, undefined])
      bench.policy = required
      assert.equal(version.visit(bench.context, { session }).error?.code, version.noCertificate)
      const full = assertFull(version.visit(bench.context, { session, certificate: usual }))
      assert.deepEqual(client(full), known(usual))
    }
  })

  test(`${version.name}: a certificate that has expired meanwhile is refused as in a full handshake, a newer one is not`, () => {
    const bench = new Bench(required)
    const session = begin(version, bench, brief)
    bench.now = START + 2 * HOUR_MS
    assertResumed(resume(version, bench, { session }))
    bench.now += 1000
    const refused = version.visit(bench.context, { session, certificate: brief })
    assert.equal(refused.error?.code, 'ERR_TLS_CERTIFICATE_EXPIRED')
    const full = assertFull(version.visit(bench.context, { session, certificate: newer }))
    assert.deepEqual(client(full), known(newer))
  })

  test(`${version.name}: a client whose CA is trusted no more is not resumed`, () => {
    const bench = new Bench(required)
    const session = begin(version, bench, usual)
    bench.policy = ofOtherRoot
    const refused = version.visit(bench.context, { session, certificate: usual })
    assert.equal(refused.error?.code, 'ERR_TLS_UNKNOWN_CA')
    assert.equal(refused.signCalls.length, 1)
    bench.policy = required
    assertResumed(resume(version, bench, { session }))
  })

  test(`${version.name}: a client that is tolerated stays so, and a change of verdict takes a full handshake`, () => {
    const bench = new Bench(tolerant)
    const session = begin(version, bench, stranger)
    const again = assertResumed(resume(version, bench, { session }))
    const tolerated = [stranger.chain.map(toHex), false, 'ERR_TLS_UNKNOWN_CA']
    assert.deepEqual(client(again), tolerated)
    bench.policy = tolerantOfOtherRoot
    const full = assertFull(version.visit(bench.context, { session, certificate: stranger }))
    assert.deepEqual(client(full), known(stranger))
    const trusted = begin(version, bench, stranger)
    bench.policy = tolerant
    const distrusted = assertFull(version.visit(bench.context, { session: trusted, certificate: stranger }))
    assert.deepEqual(client(distrusted), tolerated)
    bench.policy = required
    const refused = version.visit(bench.context, { session, certificate: stranger })
    assert.equal(refused.error?.code, 'ERR_TLS_UNKNOWN_CA')
  })

  test(`${version.name}: where nobody is asked any more, a session with a certificate does not go on`, () => {
    const bench = new Bench(required)
    const session = begin(version, bench, usual)
    bench.policy = undefined
    const full = assertFull(version.visit(bench.context, { session, certificate: usual }))
    assert.deepEqual(client(full), [[], false, undefined])
  })

  test(`${version.name}: a chain that is not kept any more is shown again`, () => {
    const bench = new Bench(required, { clientChainCache: 1 })
    const session = begin(version, bench, usual)
    assertResumed(resume(version, bench, { session }))
    begin(version, bench, newer)
    const full = assertFull(version.visit(bench.context, { session, certificate: usual }))
    assert.deepEqual(client(full), known(usual))
    assertResumed(resume(version, bench, { session }))
  })

  test(`${version.name}: in another process of the same keys the client shows its certificate again`, () => {
    const bench = new Bench(tolerant)
    const session = begin(version, bench, usual)
    const other = bench.process()
    const full = assertFull(version.visit(other, { session, certificate: usual }))
    assert.deepEqual(client(full), known(usual))
    assertResumed(version.visit(other, { session, signing: 'hold' }))
    // Who showed nothing is no stranger anywhere.
    assertResumed(version.visit(bench.process(), { session: begin(version, bench), signing: 'hold' }))
  })

  test(`${version.name}: a verifier of one’s own sees the chain again, once, when the client is admitted`, () => {
    const calls: { chain: string[]; nowMs: number }[] = []
    let verdict: () => TlsError | undefined = () => undefined
    const bench = new Bench({
      isRequired: true,
      rejectUnauthorized: true,
      authorities: [],
      verify(chain, nowMs) {
        calls.push({ chain: chain.map(({ raw }) => toHex(raw)), nowMs })
        return verdict()
      },
    })
    const session = begin(version, bench, usual)
    bench.now += 1000
    assertResumed(resume(version, bench, { session }))
    assert.deepEqual(calls, [
      { chain: usual.chain.map(toHex), nowMs: START },
      { chain: usual.chain.map(toHex), nowMs: START + 1000 },
    ])
    verdict = () => new TlsError('ERR_TLS_ACCESS_DENIED')
    const refused = version.visit(bench.context, { session, certificate: usual })
    assert.equal(refused.error?.code, 'ERR_TLS_ACCESS_DENIED')
    verdict = () => {
      throw new Error('the verifier fails')
    }
    assert.equal(resume(version, bench, { session }).error?.code, 'ERR_TLS_INTERNAL')
    calls.length = 0
    const { tickets } = bench.context
    const closed = bench.process(
      {},
      { tickets, admission: { resumed: { total: { perSecond: 0, burst: 0 } } } },
    )
    assert.equal(version.visit(closed, { session }).error?.code, 'ERR_TLS_NOT_ADMITTED')
    assert.deepEqual(calls, [])
  })

  test(`${version.name}: what the application makes of peerCertificates is not what the next one sees`, () => {
    const bench = new Bench(required)
    const session = begin(version, bench, usual)
    for (let visit = 0; visit < 2; visit++) {
      const again = assertResumed(resume(version, bench, { session }))
      assert.deepEqual(client(again), known(usual))
      again.peerCertificates[0]?.fill(0)
    }
  })

  test(`${version.name}: no bit of the ticket of such a session can be changed`, () => {
    const bench = new Bench(required)
    const session = begin(version, bench, usual)
    for (let at = 0; at < session.ticket.length; at += 7) {
      const changed = { ...session, ticket: flipped(session.ticket, at) }
      assertFull(version.visit(bench.context, { session: changed, certificate: usual }))
    }
  })
}

test('TLS 1.3: with HelloRetryRequest the verifier is asked once', () => {
  let calls = 0
  const bench = new Bench({ ...required, verify: (...args) => (calls++, required.verify(...args)) })
  const session = begin(TLS13, bench, usual) as ClientSession
  const { context } = bench
  const wire = new Wire({ context, psks: { sessions: [session] }, shares: [], signing: 'hold' }).start()
  assert.deepEqual(client(assertResumed(wire)), known(usual))
  assert.equal(wire.client.retries, 1)
  assert.equal(calls, 2)
})

test('TLS 1.3: a wrong binder ends the connection before the verifier is asked', () => {
  let calls = 0
  const bench = new Bench({ ...required, verify: (...args) => (calls++, required.verify(...args)) })
  const session = begin(TLS13, bench, usual) as ClientSession
  const psks = { sessions: [session], binder: (good: Uint8Array) => flipped(good, 0) }
  const wire = new Wire({ context: bench.context, psks, signing: 'hold' }).start()
  assert.equal(wire.error?.code, 'ERR_TLS_DECRYPT')
  assert.equal(calls, 1)
})

test('TLS 1.3: of a session that does not go on no secret stays behind', (t) => {
  let verdict: () => TlsError | undefined = () => undefined
  const bench = new Bench({ ...required, verify: () => verdict() })
  const session = begin(TLS13, bench, usual)
  const { tickets } = bench.context
  const closed = bench.process({}, { tickets, admission: { resumed: { total: { perSecond: 0, burst: 0 } } } })
  const wipe = t.mock.method(EarlyStage.prototype, 'wipe')
  const wipes = (context: ServerContext): number => {
    wipe.mock.resetCalls()
    TLS13.visit(context, { session, certificate: usual })
    return wipe.mock.callCount()
  }
  assert.equal(wipes(closed), 1)
  verdict = () => new TlsError('ERR_TLS_ACCESS_DENIED')
  assert.equal(wipes(bench.context), 1)
  verdict = () => {
    throw new Error('the verifier fails')
  }
  assert.equal(wipes(bench.context), 1)
})

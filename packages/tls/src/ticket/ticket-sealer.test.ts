import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { TLS12, TLS13 } from '../handshake/protocol-version.ts'
import { createTicketKeyring, type TicketKeyring, type TicketRootKey } from './ticket-keys.ts'
import { TICKET_LIFETIME_SECONDS, TicketSealer, type TicketSealerOptions } from './ticket-sealer.ts'
import { TicketFlag, type TicketState, writeTicketState } from './ticket-state.ts'

const HOUR = 3_600_000
const LIFETIME = TICKET_LIFETIME_SECONDS * 1000
const START = 1_800_000_000_000

/** For deepEqual, which compares prototypes. */
const PLAIN = { noNullPrototype: true } as const

const random = (count: number): Uint8Array => new Uint8Array(randomBytes(count))

/** One process; `time` may be shared with others, as may the ring. */
function startProcess({
  time = { now: START },
  keyring = createTicketKeyring({ clock: () => time.now }),
  ...options
}: Partial<TicketSealerOptions> & { time?: { now: number } } = {}) {
  const sealer = new TicketSealer({ keyring, random, clock: () => time.now, ...options })
  return { time, keyring, sealer }
}

function stateAt(now: number, fields: Partial<TicketState> = {}): TicketState {
  return {
    protocolVersion: TLS13,
    cipherSuite: 0x1301,
    flags: 0,
    issuedAtMs: now,
    fullHandshakeAtMs: now,
    ageAdd: 0x12345678,
    tenantId: new Uint8Array(16).fill(1),
    serverNameHash: new Uint8Array(16).fill(2),
    credentialKeyId: new Uint8Array(16).fill(3),
    secret: new Uint8Array(32).fill(4),
    clientChainHash: undefined,
    ...fields,
  }
}

function sealAt(sealer: TicketSealer, state: TicketState): Uint8Array {
  const ticket = sealer.seal(state)
  assert.ok(ticket !== undefined)
  return ticket
}

/** A ring of fixed keys: seals with the first, forgets none. */
function fixedRing(...keys: TicketRootKey[]): TicketKeyring {
  return {
    current: () => keys[0],
    find: (id) => keys.find((key) => Buffer.compare(key.id, id) === 0),
  }
}

const ROOT: TicketRootKey = {
  id: Uint8Array.of(0xde, 0xad, 0xbe, 0xef),
  secret: new Uint8Array(32).fill(0x5a),
  activeFromMs: START,
  decryptUntilMs: START + HOUR + LIFETIME,
}

test('the format is the one at the head of the file', () => {
  const { sealer } = startProcess({ keyring: fixedRing(ROOT) })
  const ticket = sealAt(sealer, stateAt(START))
  assert.equal(ticket[0], 1)
  assert.deepEqual(ticket.subarray(1, 5), ROOT.id)
  const key = Buffer.from(
    hkdfSync('sha256', ROOT.secret, ticket.subarray(5, 21), 'latchkey session ticket 1', 32),
  )
  const decipher = createDecipheriv('aes-256-gcm', key, ticket.subarray(21, 33))
  decipher.setAAD(ticket.subarray(0, 33))
  decipher.setAuthTag(ticket.subarray(-16))
  const plaintext = Buffer.concat([decipher.update(ticket.subarray(33, -16)), decipher.final()])
  assert.deepEqual(new Uint8Array(plaintext), writeTicketState(stateAt(START)))
})

for (const format of [1, 2]) {
  test(`format ${format}, sealed as it should be, is ${format === 1 ? 'a ticket' : 'none'}`, () => {
    const { sealer } = startProcess({ keyring: fixedRing(ROOT) })
    const header = Uint8Array.of(format, ...ROOT.id, ...random(28))
    const key = Buffer.from(
      hkdfSync('sha256', ROOT.secret, header.subarray(5, 21), 'latchkey session ticket 1', 32),
    )
    const cipher = createCipheriv('aes-256-gcm', key, header.subarray(21)).setAAD(header)
    const sealed = [cipher.update(writeTicketState(stateAt(START))), cipher.final(), cipher.getAuthTag()]
    assert.equal(sealer.open(Buffer.concat([header, ...sealed])) !== undefined, format === 1)
  })
}

const TICKET_BYTES = [156, 172, 188, 204]

test('bytes of another length than a ticket cost no look-up and no key', () => {
  const find = (): never => assert.fail('looked up')
  const { sealer } = startProcess({ keyring: { ...fixedRing(ROOT), find } })
  for (let length = 0; length < 400; length++) {
    const bytes = new Uint8Array(length).fill(1)
    if (TICKET_BYTES.includes(length)) assert.throws(() => sealer.open(bytes), /looked up/)
    else assert.equal(sealer.open(bytes), undefined)
  }
})

test('a ticket is 156 or 172 bytes long, and 32 more if the client showed a certificate', () => {
  const { sealer } = startProcess()
  const ofClient = { flags: TicketFlag.clientAuthenticated, clientChainHash: new Uint8Array(32).fill(5) }
  const shortest = sealAt(sealer, stateAt(START, ofClient))
  const longest = sealAt(sealer, stateAt(START, { ...ofClient, secret: new Uint8Array(48) }))
  assert.deepEqual([shortest.length, longest.length], [188, 204])
  assert.deepEqual(sealer.open(shortest)?.clientChainHash, ofClient.clientChainHash)
  assert.equal(sealAt(sealer, stateAt(START)).length, 156)
  assert.equal(sealAt(sealer, stateAt(START, { secret: new Uint8Array(48) })).length, 172)
})

test('open(seal(state)) = state, in the process that sealed', () => {
  const { sealer } = startProcess()
  const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 })
  const age = fc.nat(LIFETIME)
  fc.assert(
    fc.property(
      fc.record(
        {
          protocolVersion: fc.constantFrom(TLS12, TLS13),
          cipherSuite: fc.nat(0xffff),
          flags: fc.constantFrom(0, TicketFlag.extendedMasterSecret),
          issuedAtMs: age.map((ms) => START - ms),
          fullHandshakeAtMs: age.map((ms) => START - ms),
          ageAdd: fc.nat(0xffffffff),
          tenantId: bytes16,
          serverNameHash: bytes16,
          credentialKeyId: bytes16,
          secret: fc.uint8Array({ minLength: 48, maxLength: 48 }),
          clientChainHash: fc.constant(undefined),
        },
        PLAIN,
      ),
      (state) => {
        const ticket = sealAt(sealer, state)
        assert.deepEqual({ ...sealer.open(ticket) }, state)
        assert.deepEqual({ ...sealer.open(Buffer.from(ticket)) }, state)
      },
    ),
    { numRuns: 100 },
  )
})

test('the state that is sealed stays the caller’s, and so does the ticket that is opened', () => {
  const { sealer } = startProcess()
  const state = stateAt(START)
  const ticket = sealAt(sealer, state)
  assert.deepEqual({ ...state }, stateAt(START))
  const copy = new Uint8Array(ticket)
  sealer.open(ticket)?.secret.fill(0)
  assert.deepEqual(ticket, copy)
  assert.deepEqual({ ...sealer.open(ticket) }, state)
})

test('two tickets of one state have nothing in common after the salt', () => {
  const { sealer } = startProcess()
  const [a, b] = [0, 1].map(() => Buffer.from(sealAt(sealer, stateAt(START))))
  assert.deepEqual(a?.subarray(0, 21), b?.subarray(0, 21))
  assert.notDeepEqual(a?.subarray(21, 33), b?.subarray(21, 33))
  assert.notDeepEqual(a?.subarray(33), b?.subarray(33))
})

for (const secretBytes of [32, 48]) {
  test(`no prefix and no continuation of a ticket (secret of ${secretBytes} bytes) is one`, () => {
    const { sealer } = startProcess()
    const ticket = sealAt(sealer, stateAt(START, { secret: new Uint8Array(secretBytes) }))
    for (let length = 0; length < ticket.length; length++)
      assert.equal(sealer.open(ticket.subarray(0, length)), undefined)
    for (const more of [1, 16, 1000])
      assert.equal(sealer.open(Buffer.concat([ticket, new Uint8Array(more)])), undefined)
    assert.notEqual(sealer.open(ticket), undefined)
  })
}

test('a ticket with any one bit flipped is none', () => {
  const { sealer } = startProcess()
  const ticket = sealAt(sealer, stateAt(START))
  for (let bit = 0; bit < ticket.length * 8; bit++) {
    const flipped = new Uint8Array(ticket)
    flipped[bit >>> 3] = (flipped[bit >>> 3] as number) ^ (1 << (bit & 7))
    assert.equal(sealer.open(flipped), undefined, `bit ${bit}`)
  }
  assert.equal(sealer.derivedKeys, 1, 'made-up salts leave nothing behind')
})

test('any bytes are a ticket or none, never an exception', () => {
  const { sealer } = startProcess({ keyring: fixedRing(ROOT) })
  const ours = Uint8Array.of(1, ...ROOT.id)
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .constantFrom(...TICKET_BYTES)
      .chain((length) => fc.uint8Array({ minLength: length, maxLength: length })),
    fc
      .uint8Array({ minLength: 151, maxLength: 151 })
      .map((rest) => new Uint8Array(Buffer.concat([ours, rest]))),
  )
  fc.assert(
    fc.property(bytes, (ticket) => assert.equal(sealer.open(ticket), undefined)),
    { numRuns: 300 },
  )
})

test('a ticket of another root key with the same id is none', () => {
  const { sealer } = startProcess({ keyring: fixedRing(ROOT) })
  const { sealer: other } = startProcess({ keyring: fixedRing({ ...ROOT, secret: new Uint8Array(32) }) })
  assert.equal(other.open(sealAt(sealer, stateAt(START))), undefined)
})

for (const [what, ageMs, isOpened] of [
  ['at the end of its life', LIFETIME, true],
  ['a millisecond after', LIFETIME + 1, false],
  ['ten seconds from the future', -10_000, true],
  ['a millisecond more', -10_001, false],
] as const) {
  for (const field of ['issuedAtMs', 'fullHandshakeAtMs'] as const) {
    test(`${field} ${what}: ${isOpened ? 'opened' : 'none'}`, () => {
      const { time, sealer } = startProcess({ keyring: fixedRing(ROOT) })
      time.now = START + ageMs
      const ticket = sealAt(sealer, stateAt(time.now, { [field]: START }))
      assert.equal(sealer.open(ticket) !== undefined, isOpened)
    })
  }
}

test('a chain of resumptions ends with the life of the full handshake', () => {
  const { time, sealer } = startProcess()
  let state = stateAt(START)
  for (let hour = 1; hour <= 18; hour++) {
    const ticket = sealAt(sealer, { ...state, issuedAtMs: time.now })
    time.now = START + hour * HOUR
    const opened = sealer.open(ticket)
    assert.equal(opened?.fullHandshakeAtMs, START)
    state = opened
  }
  const last = sealAt(sealer, { ...state, issuedAtMs: time.now })
  assert.notEqual(sealer.open(last), undefined)
  time.now += 1
  assert.equal(sealer.open(last), undefined)
})

test('a ticket of the last millisecond of an active hour is good for its whole life', () => {
  const { time, keyring, sealer } = startProcess()
  const root = keyring.current(START) as TicketRootKey
  time.now = START + HOUR - 1
  const ticket = sealAt(sealer, stateAt(time.now))
  assert.deepEqual(ticket.subarray(1, 5), root.id)
  for (let hour = 0; hour <= 18; hour++) {
    time.now = START + HOUR - 1 + hour * HOUR
    sealAt(sealer, stateAt(time.now))
    assert.notEqual(sealer.open(ticket), undefined, `after ${hour} h`)
  }
  time.now += 1
  assert.equal(sealer.open(ticket), undefined)
  assert.ok(root.secret.every((byte) => byte === 0))
})

test('each hour has its key, and the derived keys go with their roots', () => {
  const { time, sealer } = startProcess()
  const ids = new Set<string>()
  for (let hour = 0; hour < 40; hour++) {
    time.now = START + hour * HOUR
    ids.add(Buffer.from(sealAt(sealer, stateAt(time.now)).subarray(1, 5)).toString('hex'))
    assert.ok(sealer.derivedKeys <= 19, `${sealer.derivedKeys} derived keys after ${hour} h`)
  }
  assert.equal(ids.size, 40)
  assert.equal(sealer.derivedKeys, 19)
})

test('clock jumps: a second back is nothing, a day back or forwards costs the tickets and nothing else', () => {
  const { time, sealer } = startProcess()
  const ticket = sealAt(sealer, stateAt(START))
  time.now = START - 1000
  assert.notEqual(sealer.open(ticket), undefined)
  assert.notEqual(sealer.open(sealAt(sealer, stateAt(time.now))), undefined)
  for (const jump of [-24 * HOUR, 24 * HOUR]) {
    time.now = START + jump
    assert.equal(sealer.open(ticket), undefined)
    assert.notEqual(sealer.open(sealAt(sealer, stateAt(time.now))), undefined)
    assert.equal(sealer.derivedKeys, 1, 'what was derived from wiped keys is wiped')
  }
})

test('processes that share a ring open each other’s tickets, each under a key of its own', () => {
  const { keyring, sealer: a } = startProcess()
  const { sealer: b } = startProcess({ keyring })
  const ticket = sealAt(a, stateAt(START))
  assert.deepEqual({ ...b.open(ticket) }, stateAt(START))
  assert.deepEqual({ ...a.open(sealAt(b, stateAt(START))) }, stateAt(START))
  assert.notDeepEqual(ticket.subarray(5, 21), sealAt(b, stateAt(START)).subarray(5, 21))
})

test('a fleet whose rings exchange keys opens tickets everywhere, also across the change of keys', () => {
  const time = { now: START }
  const issuer = createTicketKeyring({ clock: () => time.now })
  const member = createTicketKeyring({ clock: () => time.now })
  const [a, b] = [issuer, member].map((keyring) => startProcess({ time, keyring }).sealer) as [
    TicketSealer,
    TicketSealer,
  ]
  for (let minute = 0; minute < 180; minute += 5) {
    time.now = START + minute * 60_000
    for (const key of issuer.list()) assert.equal(member.put(key), true)
    assert.notEqual(a.open(sealAt(b, stateAt(time.now))), undefined, `minute ${minute}`)
    assert.notEqual(b.open(sealAt(a, stateAt(time.now))), undefined, `minute ${minute}`)
  }
})

test('a stranger’s tickets are none', () => {
  assert.equal(startProcess().sealer.open(sealAt(startProcess().sealer, stateAt(START))), undefined)
})

test('the cache of derived keys is bounded, and what fell out is derived again', () => {
  const { keyring, sealer } = startProcess({ derivedKeyCache: 8 })
  const tickets = Array.from({ length: 20 }, () => sealAt(startProcess({ keyring }).sealer, stateAt(START)))
  for (let round = 0; round < 2; round++) {
    for (const ticket of tickets) {
      assert.notEqual(sealer.open(ticket), undefined)
      assert.notEqual(sealer.open(sealAt(sealer, stateAt(START))), undefined)
      assert.ok(sealer.derivedKeys <= 8)
    }
  }
  assert.equal(sealer.derivedKeys, 8)
})

test('a derived key that has sealed its share gives way to another', () => {
  const { sealer } = startProcess({ maxSealsPerKey: 3 })
  const tickets = Array.from({ length: 9 }, () => sealAt(sealer, stateAt(START)))
  const salts = tickets.map((ticket) => Buffer.from(ticket.subarray(5, 21)).toString('hex'))
  assert.deepEqual(
    salts.map((salt) => salts.indexOf(salt)),
    [0, 0, 0, 3, 3, 3, 6, 6, 6],
  )
  for (const ticket of tickets) assert.notEqual(sealer.open(ticket), undefined)
})

test('another hour is another derived key, with a count of its own', () => {
  const { time, sealer } = startProcess({ maxSealsPerKey: 3 })
  const saltOf = (ticket: Uint8Array): string => Buffer.from(ticket.subarray(5, 21)).toString('hex')
  const salts = [0, 0, HOUR, HOUR, HOUR, HOUR].map((ageMs) => {
    time.now = START + ageMs
    return saltOf(sealAt(sealer, stateAt(time.now)))
  })
  assert.equal(new Set(salts.slice(0, 5)).size, 1)
  assert.notEqual(salts[5], salts[4])
})

test('a derived key’s count survives that the cache drops it', () => {
  const { keyring, sealer } = startProcess({ maxSealsPerKey: 3, derivedKeyCache: 1 })
  const other = sealAt(startProcess({ keyring }).sealer, stateAt(START))
  const salts = Array.from({ length: 4 }, () => {
    const ticket = sealAt(sealer, stateAt(START))
    assert.notEqual(sealer.open(other), undefined)
    return Buffer.from(ticket.subarray(5, 21)).toString('hex')
  })
  assert.equal(new Set(salts.slice(0, 3)).size, 1)
  assert.notEqual(salts[3], salts[0])
})

test('without a key there is no ticket', () => {
  const { sealer } = startProcess({ keyring: fixedRing() })
  assert.equal(sealer.seal(stateAt(START)), undefined)
})

test('a state that cannot be is the caller’s bug', () => {
  const { sealer } = startProcess()
  assert.throws(() => sealer.seal(stateAt(START, { secret: new Uint8Array(31) })), RangeError)
})

for (const options of [{ maxSealsPerKey: 0 }, { maxSealsPerKey: 2 ** 32 + 1 }, { derivedKeyCache: 0 }]) {
  test(`${JSON.stringify(options)} is refused`, () => {
    assert.throws(() => startProcess(options), RangeError)
  })
}

test('a sealer shows no key when it is inspected', () => {
  const { sealer } = startProcess({ keyring: fixedRing(ROOT) })
  sealAt(sealer, stateAt(START))
  assert.doesNotMatch(inspect(sealer, { depth: 9, showHidden: true }), /90, 90|5a 5a/)
})

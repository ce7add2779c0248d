import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { TLS12, TLS13 } from '../handshake/protocol-version.ts'
import {
  readTicketState,
  TICKET_STATE_BYTES,
  TicketFlag,
  type TicketState,
  writeTicketState,
} from './ticket-state.ts'

const id = fc.uint8Array({ minLength: 16, maxLength: 16 })
const timeMs = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER))
const fields = {
  cipherSuite: fc.nat(0xffff),
  issuedAtMs: timeMs,
  fullHandshakeAtMs: timeMs,
  ageAdd: fc.nat(0xffffffff),
  tenantId: id,
  serverNameHash: id,
  credentialKeyId: id,
}
const secretOf = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })
/** For deepEqual, which compares prototypes. */
const PLAIN = { noNullPrototype: true } as const
const { extendedMasterSecret, clientAuthenticated, clientAuthorized } = TicketFlag
const versions = fc.oneof(
  fc.record({ protocolVersion: fc.constant(TLS12), secret: secretOf(48) }, PLAIN),
  fc.record({ protocolVersion: fc.constant(TLS13), secret: fc.oneof(secretOf(32), secretOf(48)) }, PLAIN),
)
const clients = fc.oneof(
  fc.record(
    { flags: fc.constantFrom(0, extendedMasterSecret), clientChainHash: fc.constant(undefined) },
    PLAIN,
  ),
  fc.record(
    {
      flags: fc
        .subarray([extendedMasterSecret, clientAuthorized])
        .map((set) => set.reduce((flags, flag) => flags | flag, clientAuthenticated as number)),
      clientChainHash: secretOf(32),
    },
    PLAIN,
  ),
)
const ticketState: fc.Arbitrary<TicketState> = fc
  .tuple(fc.record(fields, PLAIN), versions, clients)
  .map(([common, version, client]) => ({ ...common, ...version, ...client }))

/** Each field with bytes of its own: a swap shows. */
const state: TicketState = {
  protocolVersion: TLS13,
  cipherSuite: 0x1302,
  flags: TicketFlag.extendedMasterSecret,
  issuedAtMs: 0x0102030405,
  fullHandshakeAtMs: 0x1112131415,
  ageAdd: 0xf1f2f3f4,
  tenantId: new Uint8Array(16).fill(0xa1),
  serverNameHash: new Uint8Array(16).fill(0xa2),
  credentialKeyId: new Uint8Array(16).fill(0xa3),
  secret: new Uint8Array(48).fill(0xa4),
  clientChainHash: undefined,
}
const ofClient: TicketState = {
  ...state,
  flags: clientAuthenticated | clientAuthorized,
  clientChainHash: new Uint8Array(32).fill(0xa5),
}
const STATE_HEX = [
  '01',
  '0304',
  '1302',
  '01',
  '0000000102030405',
  '0000001112131415',
  'f1f2f3f4',
  'a1'.repeat(16),
  'a2'.repeat(16),
  'a3'.repeat(16),
  '30',
  'a4'.repeat(48),
].join('')

test('the layout is the one at the head of the file', () => {
  assert.equal(Buffer.from(writeTicketState(state)).toString('hex'), STATE_HEX)
  assert.deepEqual({ ...readTicketState(new Uint8Array(Buffer.from(STATE_HEX, 'hex'))) }, state)
  const hex = STATE_HEX.replace('0304130201', '0304130206') + 'a5'.repeat(32)
  assert.equal(Buffer.from(writeTicketState(ofClient)).toString('hex'), hex)
  assert.deepEqual({ ...readTicketState(new Uint8Array(Buffer.from(hex, 'hex'))) }, ofClient)
})

test('read(write(state)) = state, and one byte more or less is no state', () => {
  fc.assert(
    fc.property(ticketState, (state) => {
      const bytes = writeTicketState(state)
      assert.ok(TICKET_STATE_BYTES.includes(bytes.length))
      assert.deepEqual({ ...readTicketState(new Uint8Array(bytes)) }, state)
      for (let length = 0; length < bytes.length; length++)
        assert.equal(readTicketState(bytes.subarray(0, length)), undefined)
      assert.equal(readTicketState(Uint8Array.of(...bytes, 0)), undefined)
    }),
    { numRuns: 50 },
  )
})

test('any bytes give a state that writes back as them, or nothing', () => {
  const almost = fc
    .tuple(ticketState, fc.nat(74), fc.nat(255))
    .map(([state, at, value]) => writeTicketState(state).fill(value, at, at + 1))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 160 }), almost), (bytes) => {
      const read = readTicketState(new Uint8Array(bytes))
      if (read !== undefined) assert.deepEqual(writeTicketState(read), bytes)
    }),
    { numRuns: 500 },
  )
})

for (const [what, at, value] of [
  ['an unknown format', 0, [2]],
  ['TLS 1.1', 1, [0x03, 0x02]],
  ['TLS 1.2 with a secret of 32 bytes', 1, [0x03, 0x03]],
  ['an unknown flag', 5, [0x08]],
  ['a client that showed a certificate, without a hash', 5, [0x02]],
  ['a client that is authorized, and showed nothing', 5, [0x04]],
  ['a time of 2^53 ms', 6, [0x00, 0x20, 0, 0, 0, 0, 0, 0]],
  ['a full handshake at 2^64 - 1 ms', 14, Array.from({ length: 8 }, () => 0xff)],
  ['a secret of 31 bytes', 74, [31]],
  ['a secret of 48 bytes in 32', 74, [48]],
] as const) {
  test(`${what} is no state`, () => {
    const bytes = writeTicketState({ ...state, secret: new Uint8Array(32) })
    assert.notEqual(readTicketState(new Uint8Array(bytes)), undefined)
    bytes.set(value, at)
    assert.equal(readTicketState(bytes), undefined)
  })
}

for (const [what, wrong] of [
  ['another version', { protocolVersion: 0x0302 }],
  ['a suite above 16 bits', { cipherSuite: 0x10000 }],
  ['an unknown flag', { flags: 8 }],
  ['a client that showed a certificate, without a hash', { flags: 2 }],
  ['a client that is authorized, and showed nothing', { flags: 4 }],
  ['a hash of a client that showed nothing', { clientChainHash: new Uint8Array(32) }],
  ['half a hash', { flags: 2, clientChainHash: new Uint8Array(16) }],
  ['a time before the epoch', { issuedAtMs: -1 }],
  ['half a millisecond', { fullHandshakeAtMs: 0.5 }],
  ['a time that is not a number', { issuedAtMs: Number.NaN }],
  ['a time beyond exact numbers', { issuedAtMs: 2 ** 53 }],
  ['ageAdd above 32 bits', { ageAdd: 2 ** 32 }],
  ['a short tenant', { tenantId: new Uint8Array(15) }],
  ['a whole hash as server name', { serverNameHash: new Uint8Array(32) }],
  ['a whole keyId', { credentialKeyId: new Uint8Array(32) }],
  ['a short secret', { secret: new Uint8Array(31) }],
  ['a short master secret', { protocolVersion: TLS12, secret: new Uint8Array(32) }],
] as const) {
  test(`${what} is a caller's bug`, () => {
    assert.throws(() => writeTicketState({ ...state, ...wrong }), RangeError)
  })
}

test('the bytes are nobody else’s, so that they can be wiped, and the state read owns the only copy', () => {
  const bytes = writeTicketState(state)
  assert.equal(bytes.buffer.byteLength, bytes.length)
  readTicketState(bytes)?.secret.fill(0)
  assert.ok(bytes.subarray(75).every((byte) => byte === 0))
})

test('no secret shows when a state is inspected or serialised by accident', () => {
  const secret = new TextEncoder().encode('0123456789abcdef0123456789abcdef')
  const read = readTicketState(writeTicketState({ ...state, secret }))
  assert.notEqual(read, undefined)
  for (const text of [inspect(read), inspect({ nested: [read] }, { depth: 5 }), JSON.stringify({ read })]) {
    assert.match(text, /32 secret bytes/)
    assert.doesNotMatch(text, /48,\s*49|"0":48/)
  }
  assert.deepEqual(read?.secret, secret)
})

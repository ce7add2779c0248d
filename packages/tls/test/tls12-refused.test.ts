// What a TLS 1.2 client must not do, in each state: its alert, and no signature but the one of the handshake.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ascii, concat, flipped, hex, u8, vector16, vector8 } from './support/bytes.ts'
import { encodeHello, type Hello, message, numbers16 } from './support/client-hello.ts'
import {
  type AlertText,
  EXTENSION,
  GROUP,
  MESSAGE,
  RECORD,
  SCHEME,
  SUITE,
  SUITE12,
} from './support/code-points.ts'
import { type ContextOptions, signatureFor, testContext, Wire12 } from './support/harness.ts'
import { assertEstablished, assertOver, assertRefused, type RefusalOptions } from './support/outcome.ts'
import { type TestClient12 } from './support/test-client12.ts'

const NOTHING = new Uint8Array(0)
const SCSV = 0x5600

// ── hellos ────────────────────────────────────────────────────────────────────────────────────────────────────────

interface HelloRow {
  readonly name: string
  readonly hello: Partial<Hello>
  readonly context?: ContextOptions
  readonly alert: AlertText
}

function without(type: number): Partial<Hello> {
  return { bodies: { [type]: undefined } }
}

function extra(type: number, body: Uint8Array): Partial<Hello> {
  return { extra: [{ type, body }] }
}

const HELLOS: readonly HelloRow[] = [
  {
    name: 'TLS 1.2 is not enabled',
    hello: {},
    context: { minVersion: 'TLSv1.3' },
    alert: 'protocol_version',
  },
  { name: 'TLS 1.1', hello: { legacyVersion: 0x0302 }, alert: 'protocol_version' },
  {
    name: 'TLS 1.2 in legacy_version only',
    hello: { versions: [0x0302, 0x0301] },
    alert: 'protocol_version',
  },
  {
    name: 'row 29: the fallback signal',
    hello: { suites: [...Object.values(SUITE12), SCSV] },
    alert: 'inappropriate_fallback',
  },
  {
    name: 'row 29: the fallback signal besides supported_versions',
    hello: { versions: [0x0303], suites: [...Object.values(SUITE12), SCSV] },
    alert: 'inappropriate_fallback',
  },
  { name: 'only suites of TLS 1.3', hello: { suites: Object.values(SUITE) }, alert: 'handshake_failure' },
  {
    name: 'only suites without forward secrecy or AEAD',
    hello: { suites: [0x009c, 0x009d, 0xc009, 0xc013, 0xc014, 0xc023, 0xc027, 0x009e, 0x000a] },
    alert: 'handshake_failure',
  },
  {
    name: 'only RSA suites for an ECDSA certificate',
    hello: { suites: [0xc02f, 0xc030, 0xcca8] },
    alert: 'handshake_failure',
  },
  {
    name: 'only ECDSA suites for an RSA certificate',
    hello: { suites: [0xc02b, 0xc02c, 0xcca9] },
    context: { kinds: ['rsa2048'] },
    alert: 'handshake_failure',
  },
  {
    name: 'a suite that is switched off',
    hello: { suites: [0xc02b] },
    context: { cipherSuites12: ['TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'] },
    alert: 'handshake_failure',
  },
  {
    name: 'row 37: no supported_groups',
    hello: without(EXTENSION.supported_groups),
    alert: 'handshake_failure',
  },
  { name: 'no common group', hello: { groups: [GROUP.x448, 0x11ec] }, alert: 'handshake_failure' },
  {
    name: 'the curve of the certificate is not among the groups',
    hello: { groups: [GROUP.x25519, GROUP.secp384r1] },
    alert: 'handshake_failure',
  },
  {
    name: 'no signature_algorithms',
    hello: without(EXTENSION.signature_algorithms),
    alert: 'handshake_failure',
  },
  {
    name: 'only SHA-1 and MD5',
    hello: { schemes: [SCHEME.ecdsa_sha1, SCHEME.rsa_pkcs1_sha1, 0x0101] },
    context: { kinds: ['p256', 'rsa2048'] },
    alert: 'handshake_failure',
  },
  {
    name: 'only RSA schemes for an ECDSA certificate',
    hello: { schemes: [SCHEME.rsa_pkcs1_sha256, SCHEME.rsa_pss_rsae_sha256] },
    alert: 'handshake_failure',
  },
  {
    name: 'no server name, and no default certificate',
    hello: { serverName: undefined },
    alert: 'handshake_failure',
  },
  { name: 'an unknown server name', hello: { serverName: 'example.net' }, alert: 'unrecognized_name' },
  { name: 'no common protocol', hello: { alpn: ['h3'] }, alert: 'no_application_protocol' },
  { name: 'no null compression', hello: { compression: u8(1) }, alert: 'illegal_parameter' },
  {
    name: 'row 37: renegotiation_info of another handshake',
    hello: extra(EXTENSION.renegotiation_info, vector8(new Uint8Array(12))),
    alert: 'handshake_failure',
  },
  {
    name: 'row 37: renegotiation_info with a length that lies',
    hello: extra(EXTENSION.renegotiation_info, hex('01')),
    alert: 'decode_error',
  },
  {
    name: 'row 37: point formats without uncompressed',
    hello: extra(EXTENSION.ec_point_formats, vector8(Uint8Array.of(1, 2))),
    alert: 'illegal_parameter',
  },
  {
    name: 'no point formats',
    hello: extra(EXTENSION.ec_point_formats, vector8()),
    alert: 'decode_error',
  },
  {
    name: 'extended_master_secret with content',
    hello: extra(EXTENSION.extended_master_secret, u8(0)),
    alert: 'decode_error',
  },
  {
    name: 'extended_master_secret twice',
    hello: {
      extra: [EXTENSION.extended_master_secret, EXTENSION.extended_master_secret].map((type) => ({
        type,
        body: NOTHING,
      })),
    },
    alert: 'decode_error',
  },
]

for (const { name, hello, context, alert } of HELLOS) {
  test(`${name} (TLS 1.2 hello)`, () => {
    assertRefused(new Wire12({ hello, context: testContext(context) }).start(), alert)
  })
}

test('a hello without any extension: there is no group in common', () => {
  const context = testContext({ isDefault: true })
  assertRefused(new Wire12({ context, hello: { arrange: () => [] } }).start(), 'handshake_failure')
})

// ── each state ────────────────────────────────────────────────────────────────────────────────────────────────────

const STATES = {
  'while the signature is waited for': () => new Wire12({ signing: 'hold' }).start(),
  'before ClientKeyExchange': () => new Wire12({ autoFinish: false }).start(),
  'before change_cipher_spec': () => {
    const wire = new Wire12({ autoFinish: false }).start()
    wire.client.exchangeKeys()
    return wire.run()
  },
  'before Finished': () => {
    const wire = new Wire12({ autoFinish: false }).start()
    wire.client.exchangeKeys().changeCipherSpec()
    return wire.run()
  },
  established: () => new Wire12().start(),
} as const
type State = keyof typeof STATES
const ALL = Object.keys(STATES) as State[]
const PLAIN: readonly State[] = [
  'while the signature is waited for',
  'before ClientKeyExchange',
  'before change_cipher_spec',
]
const PROTECTED: readonly State[] = ['before Finished', 'established']

/** Our own change_cipher_spec comes with our Finished: only then are alerts protected. */
function expected(state: State): RefusalOptions {
  return { signCalls: 1, encrypted: state === 'established' }
}

interface Row {
  readonly name: string
  readonly states: readonly State[]
  readonly send: (client: TestClient12) => unknown
  readonly alert: AlertText | undefined
}

function point(...bytes: readonly Uint8Array[]): (client: TestClient12) => unknown {
  return (client) => client.plain(RECORD.handshake, message(MESSAGE.client_key_exchange, concat(...bytes)))
}

/** Points of small order, RFC 7748 §6.1: they give a shared secret of zeros. */
const LOW_ORDER = [
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
]

/** The state that takes each message. */
const EXPECTED_IN: Readonly<Partial<Record<State, readonly number[]>>> = {
  'before ClientKeyExchange': [MESSAGE.client_key_exchange],
  'before Finished': [MESSAGE.finished],
}

const ROWS: readonly Row[] = [
  // Order.
  ...Object.entries(MESSAGE).map(
    ([name, type]): Row => ({
      name: `row 14: ${name} out of place`,
      states: ALL.filter(
        (state) =>
          EXPECTED_IN[state]?.includes(type) !== true &&
          !(state === 'established' && type === MESSAGE.client_hello),
      ),
      send: (client) => client.record(RECORD.handshake, message(type, new Uint8Array(12))),
      alert: 'unexpected_message',
    }),
  ),
  {
    name: 'row 13: a second ClientHello',
    states: PLAIN,
    send: (client) => client.plain(RECORD.handshake, encodeHello(client.hello)),
    alert: 'unexpected_message',
  },
  {
    name: 'row 37: a ClientHello to renegotiate',
    states: ['established'],
    send: (client) => client.record(RECORD.handshake, encodeHello(client.hello)),
    alert: 'no_renegotiation',
  },
  {
    name: 'row 37: one byte of a ClientHello to renegotiate',
    states: ['established'],
    send: (client) => client.record(RECORD.handshake, u8(MESSAGE.client_hello)),
    alert: 'no_renegotiation',
  },
  {
    name: 'row 12: data',
    states: PLAIN,
    send: (client) => client.plain(RECORD.data, ascii('GET / HTTP/1.1\r\n')),
    alert: 'unexpected_message',
  },
  {
    name: 'row 12: protected data before Finished',
    states: ['before Finished'],
    send: (client) => client.send(ascii('GET / HTTP/1.1\r\n')),
    alert: 'unexpected_message',
  },
  // ClientKeyExchange.
  {
    name: 'row 37: a byte after the point of ClientKeyExchange',
    states: ['before ClientKeyExchange'],
    send: point(vector8(new Uint8Array(32).fill(9)), u8(0)),
    alert: 'decode_error',
  },
  {
    name: 'row 37: a point one byte shorter',
    states: ['before ClientKeyExchange'],
    send: point(vector8(new Uint8Array(31).fill(9))),
    alert: 'illegal_parameter',
  },
  {
    name: 'row 37: an empty ClientKeyExchange',
    states: ['before ClientKeyExchange'],
    send: point(),
    alert: 'decode_error',
  },
  {
    name: 'row 37: a point with a length one too small',
    states: ['before ClientKeyExchange'],
    send: point(u8(31), new Uint8Array(32).fill(9)),
    alert: 'decode_error',
  },
  {
    name: 'row 37: a point with a length one too large',
    states: ['before ClientKeyExchange'],
    send: point(u8(33), new Uint8Array(32).fill(9)),
    alert: 'decode_error',
  },
  ...LOW_ORDER.map(
    (text, index): Row => ({
      name: `row 37: an X25519 point of low order (${index})`,
      states: ['before ClientKeyExchange'],
      send: point(vector8(hex(text))),
      alert: 'illegal_parameter',
    }),
  ),
  {
    name: 'row 15: bytes after ClientKeyExchange in its record',
    states: ['before ClientKeyExchange'],
    send: (client) =>
      client.plain(
        RECORD.handshake,
        concat(message(MESSAGE.client_key_exchange, client.keyExchangeBody()), u8(MESSAGE.finished)),
      ),
    alert: 'unexpected_message',
  },
  // change_cipher_spec.
  {
    name: 'row 37: change_cipher_spec',
    states: [
      'while the signature is waited for',
      'before ClientKeyExchange',
      'before Finished',
      'established',
    ],
    send: (client) => client.plain(RECORD.ccs, u8(1)),
    alert: 'unexpected_message',
  },
  {
    name: 'protected change_cipher_spec',
    states: PROTECTED,
    send: (client) => client.record(RECORD.ccs, u8(1)),
    alert: 'unexpected_message',
  },
  {
    name: 'row 16: change_cipher_spec between the fragments of ClientKeyExchange',
    states: ['before ClientKeyExchange'],
    send: (client) => client.plain(RECORD.handshake, hex('1000')).plain(RECORD.ccs, u8(1)),
    alert: 'unexpected_message',
  },
  ...[NOTHING, u8(0), u8(2), Uint8Array.of(1, 1)].map(
    (body): Row => ({
      name: `row 37: change_cipher_spec of ${body.length === 0 ? 'nothing' : [...body].join(' ')}`,
      states: ['before change_cipher_spec'],
      send: (client) => client.plain(RECORD.ccs, body),
      alert: 'illegal_parameter',
    }),
  ),
  {
    name: 'row 37: Finished without change_cipher_spec',
    states: ['before change_cipher_spec'],
    send: (client) => client.plain(RECORD.handshake, client.finishedMessage()),
    alert: 'unexpected_message',
  },
  {
    name: 'row 37: protected Finished without change_cipher_spec',
    states: ['before change_cipher_spec'],
    send: (client) => client.protectWrites().finish(),
    alert: 'unexpected_message',
  },
  {
    name: 'Finished without protection after change_cipher_spec',
    states: ['before Finished'],
    send: (client) => client.plain(RECORD.handshake, client.finishedMessage()),
    alert: 'bad_record_mac',
  },
  // Finished.
  {
    name: 'row 37: a wrong Finished',
    states: ['before Finished'],
    send: (client) => client.finish(flipped(client.finishedMessage(), 15)),
    alert: 'decrypt_error',
  },
  ...[0, 11, 13, 32].map(
    (length): Row => ({
      name: `row 37: a Finished of ${length} bytes`,
      states: ['before Finished'],
      send: (client) => client.finish(message(MESSAGE.finished, new Uint8Array(length))),
      alert: 'decode_error',
    }),
  ),
  {
    name: 'row 15: bytes after Finished in its record',
    states: ['before Finished'],
    send: (client) => client.record(RECORD.handshake, concat(client.finishedMessage(), u8(1))),
    alert: 'unexpected_message',
  },
  {
    name: 'data between the fragments of Finished',
    states: ['before Finished'],
    send: (client) =>
      client.record(RECORD.handshake, client.finishedMessage().subarray(0, 9)).send(ascii('x')),
    alert: 'unexpected_message',
  },
  // Records.
  ...[0x0300, 0x0301, 0x0302, 0x0304].map(
    (version): Row => ({
      name: `a record of version 0x${version.toString(16)}`,
      states: ALL,
      send: (client) => client.record(RECORD.alert, Uint8Array.of(1, 90), { version }),
      alert: 'protocol_version',
    }),
  ),
  ...[0, 19, 24, 255].map(
    (type): Row => ({
      name: `row 1: a record of type ${type}`,
      states: ALL,
      send: (client) => client.plain(type, u8(1)),
      alert: 'unexpected_message',
    }),
  ),
  {
    name: 'row 3: a handshake record of no bytes',
    states: ALL,
    send: (client) => client.record(RECORD.handshake, NOTHING),
    alert: 'unexpected_message',
  },
  {
    name: 'row 3: an alert record of no bytes',
    states: ALL,
    send: (client) => client.record(RECORD.alert, NOTHING),
    alert: 'unexpected_message',
  },
  {
    name: 'row 39: an alert of one byte',
    states: ALL,
    send: (client) => client.record(RECORD.alert, u8(2)),
    alert: 'decode_error',
  },
  {
    name: 'row 39: an alert of three bytes',
    states: ALL,
    send: (client) => client.record(RECORD.alert, hex('022800')),
    alert: 'decode_error',
  },
  {
    name: 'row 39: five warnings in a row',
    states: ALL,
    send: (client) => {
      for (let count = 0; count < 5; count++) client.alert(90, 1)
    },
    alert: 'unexpected_message',
  },
  {
    name: 'row 4: seventeen empty data records in a row',
    states: ['established'],
    send: (client) => {
      for (let count = 0; count < 17; count++) client.send(NOTHING)
    },
    alert: 'unexpected_message',
  },
  {
    name: 'row 2: content of 16385 bytes',
    states: ['established'],
    send: (client) => client.send(new Uint8Array(16_385)),
    alert: 'record_overflow',
  },
  {
    name: 'row 2: a protected record that is far too long',
    states: PROTECTED,
    send: (client) => client.raw(hex('1703034801')),
    alert: 'record_overflow',
  },
  ...[0, 1, 8, 23].map(
    (bytes): Row => ({
      name: `a protected record of ${bytes} bytes, too short for nonce and tag`,
      states: PROTECTED,
      send: (client) => client.plain(RECORD.data, new Uint8Array(bytes)),
      alert: 'bad_record_mac',
    }),
  ),
  {
    name: 'a record without protection',
    states: PROTECTED,
    send: (client) => client.plain(RECORD.alert, hex('0228')),
    alert: 'bad_record_mac',
  },
  {
    name: 'row 10: a record that skips a number',
    states: ['established'],
    send: (client) => {
      if (client.writeKeys !== undefined) client.writeKeys.sequence++
      client.send(ascii('x'))
    },
    alert: 'bad_record_mac',
  },
  {
    name: 'row 10: a record again',
    states: ['established'],
    send: (client) => {
      client.send(ascii('x'))
      const record = client.take()
      client.raw(record, record)
    },
    alert: 'bad_record_mac',
  },
  // The client gives up.
  {
    name: 'row 39: handshake_failure of the client',
    states: ALL,
    send: (client) => client.alert(40),
    alert: undefined,
  },
  {
    name: 'row 39: an alert nobody knows',
    states: ALL,
    send: (client) => client.alert(200),
    alert: undefined,
  },
  {
    name: 'row 39: close_notify during the handshake',
    states: ALL.filter((state) => state !== 'established'),
    send: (client) => client.alert(0, 1),
    alert: undefined,
  },
]

for (const { name, states, send, alert } of ROWS) {
  for (const state of states) {
    test(`${name} (TLS 1.2, ${state})`, () => {
      const wire = STATES[state]()
      send(wire.client)
      assertRefused(wire.run(), alert, expected(state))
    })
  }
}

test('the states of the table are what their names say', () => {
  for (const state of ALL) {
    const wire = STATES[state]()
    assert.equal(wire.error, undefined)
    assert.equal(wire.establishedCount, state === 'established' ? 1 : 0)
    assert.equal(wire.client.writeKeys !== undefined, PROTECTED.includes(state))
  }
  const wire = STATES['before Finished']()
  wire.client.finish()
  assertEstablished(wire.run())
})

test('row 37: P-256 points: off the curve, compressed, hybrid form, infinity, another length', () => {
  const context = testContext({ groups: ['secp256r1'] })
  const good = (wire: Wire12): Uint8Array => wire.client.keyExchangeBody().subarray(1)
  const rows: readonly (readonly [AlertText, (share: Uint8Array) => Uint8Array])[] = [
    ['illegal_parameter', (share) => flipped(share, 40)],
    ['illegal_parameter', (share) => concat(u8(6 + ((share[64] as number) & 1)), share.subarray(1))],
    ['illegal_parameter', (share) => concat(u8(2), share.subarray(1))],
    ['illegal_parameter', () => new Uint8Array(65)],
    ['illegal_parameter', (share) => concat(u8(2 + ((share[64] as number) & 1)), share.subarray(1, 33))],
    ['illegal_parameter', () => u8(0)],
    ['illegal_parameter', (share) => share.subarray(0, 64)],
    ['illegal_parameter', (share) => concat(share, u8(0))],
  ]
  for (const [alert, change] of rows) {
    const wire = new Wire12({ context, autoFinish: false }).start()
    point(vector8(change(good(wire))))(wire.client)
    assertRefused(wire.run(), alert, { signCalls: 1 })
  }
})

test('row 9: every byte of a protected record counts', () => {
  const template = new Wire12().start()
  template.client.send(ascii('content'))
  const { length } = template.client.take()
  for (let at = 5; at < length; at++) {
    const wire = new Wire12().start()
    wire.client.send(ascii('content'))
    wire.client.raw(flipped(wire.client.take(), at))
    assertRefused(wire.run(), 'bad_record_mac', expected('established'))
    assert.equal(wire.data.length, 0)
  }
})

test('row 34: a client of TLS 1.3 whose early data meets TLS 1.2 is refused', () => {
  const wire = new Wire12({ signing: 'hold', hello: extra(EXTENSION.early_data, NOTHING) }).start()
  wire.client.plain(RECORD.data, new Uint8Array(100))
  assertRefused(wire.run(), 'unexpected_message', { signCalls: 1 })
})

// ── the signer ────────────────────────────────────────────────────────────────────────────────────────────────────

test('row 41: a signer that fails is an internal_error', () => {
  const wire = new Wire12({ signing: 'hold' }).start()
  const id = wire.signCalls[0]?.id ?? 0
  wire.answered.add(id)
  wire.server.privateKeyFailed(id, new Error('why'))
  assertRefused(wire.run(), 'internal_error', { signCalls: 1 })
  assert.equal(wire.error?.code, 'ERR_TLS_SIGNER')
})

test('row 41: a wrong RSA signature never leaves, with PSS and with PKCS#1 v1.5', () => {
  const context = testContext({ kinds: ['rsa2048'] })
  for (const scheme of [SCHEME.rsa_pss_rsae_sha256, SCHEME.rsa_pkcs1_sha256]) {
    const wire = new Wire12({ context, signing: 'hold', hello: { schemes: [scheme] } }).start()
    const { id, request } = wire.signCalls[0] as (typeof wire.signCalls)[number]
    const before = wire.output.length
    wire.answered.add(id)
    wire.server.privateKeyAnswered(id, flipped(signatureFor(request), 100))
    assertRefused(wire.run(), 'internal_error', { signCalls: 1 })
    assert.equal(wire.error?.code, 'ERR_TLS_SIGNER_WRONG')
    assert.equal(wire.output.length, before + 7, 'an alert and nothing else')
  }
})

test('row 40: the end of the transport in each state', () => {
  for (const state of ALL) {
    const wire = STATES[state]()
    wire.server.transportEnded()
    assert.equal(wire.error?.code, state === 'established' ? 'ERR_TLS_TRUNCATED' : 'ERR_TLS_TRANSPORT')
    assertOver(wire)
    assert.equal(wire.cancelled.length, state === 'while the signature is waited for' ? 1 : 0)
  }
})

// ── limits ────────────────────────────────────────────────────────────────────────────────────────────────────────

test('row 43: a key that has protected as many records as it may is the end of the connection', () => {
  const context = testContext()
  const cipherSuites12 = context.cipherSuites12.map((suite) => ({ ...suite, recordLimit: 4 }))
  const wire = new Wire12({ context: { ...context, cipherSuites12 } }).start()
  // Our Finished was the first.
  for (let count = 0; count < 3; count++) wire.server.send([ascii('x')])
  assert.equal(wire.isClosed, false)
  wire.server.send([ascii('x')])
  wire.run()
  assert.equal(wire.error?.code, 'ERR_TLS_KEYS_WORN')
  assert.deepEqual(wire.client.alerts, [{ level: 1, name: 'close_notify', encrypted: true }])
  assert.equal(wire.client.received.length, 3)
  assertOver(wire)
})

test('supported_versions of odd length is malformed whatever the version', () => {
  const wire = new Wire12({ hello: { bodies: { [EXTENSION.supported_versions]: vector8(hex('030303')) } } })
  assertRefused(wire.start(), 'decode_error')
  const groups = new Wire12({
    hello: { bodies: { [EXTENSION.supported_groups]: vector16(numbers16([29]), u8(0)) } },
  })
  assertRefused(groups.start(), 'decode_error')
})

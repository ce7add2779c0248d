// Records that must be refused. RFC 8446 §5.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ascii, concat, hex, u16, u8 } from './support/bytes.ts'
import { encodeHello, message, plainRecord } from './support/client-hello.ts'
import { type AlertText, MESSAGE, RECORD } from './support/code-points.ts'
import { Wire } from './support/harness.ts'
import { assertRefused, type RefusalOptions } from './support/outcome.ts'
import { TestClient } from './support/test-client.ts'

/** Where a connection can be when something bad comes. */
const STATES = {
  'before the hello': () => new Wire(),
  'before the second hello': () => new Wire({ shares: [], autoRetry: false }).start(),
  'while the signature is waited for': () => new Wire({ signing: 'hold' }).start(),
  'before Finished': () => new Wire({ autoFinish: false }).start(),
  established: () => new Wire().start(),
} as const
type State = keyof typeof STATES

/** Under keys alerts are protected, and a signature has been asked for. */
function expected(state: State): RefusalOptions {
  const isEarly = state === 'before the hello' || state === 'before the second hello'
  return isEarly ? {} : { signCalls: 1, encrypted: true }
}

interface Row {
  readonly name: string
  readonly states: readonly State[]
  /** Queues what is wrong. */
  readonly send: (client: TestClient) => void
  readonly alert: AlertText
}

const ALL = Object.keys(STATES) as State[]
const PLAIN: readonly State[] = ['before the hello', 'before the second hello']
const STARTED = ALL.filter((state) => state !== 'before the hello')
const PROTECTED = ALL.filter((state) => !PLAIN.includes(state))

/** A record header that announces `length` bytes and nothing behind it. */
function header(type: number, length: number): Uint8Array {
  return concat(u8(type), u16(0x0303), u16(length))
}

/** A 0-byte-long fragment. */
const NOTHING = new Uint8Array(0)

const ROWS: readonly Row[] = [
  ...[0, 19, 24, 25, 128, 255].map(
    (type): Row => ({
      name: `row 1: record type ${type}`,
      states: STARTED,
      send: (client) => client.raw(plainRecord(type, u8(1))),
      alert: 'unexpected_message',
    }),
  ),
  {
    name: 'row 2: a handshake record of 16385 bytes, refused by its header',
    states: ALL,
    send: (client) => client.raw(header(RECORD.handshake, 16_385)),
    alert: 'record_overflow',
  },
  {
    name: 'row 2: a handshake record of 65535 bytes, refused by its header',
    states: ALL,
    send: (client) => client.raw(header(RECORD.handshake, 65_535)),
    alert: 'record_overflow',
  },
  {
    name: 'row 2: a protected record of 16641 bytes, refused by its header',
    states: PROTECTED,
    send: (client) => client.raw(header(RECORD.data, 16_641)),
    alert: 'record_overflow',
  },
  {
    name: 'row 2: an alert record of 16385 bytes, refused by its header',
    states: STARTED,
    send: (client) => client.raw(header(RECORD.alert, 16_385)),
    alert: 'record_overflow',
  },
  {
    name: 'row 3: a handshake record of no bytes',
    states: PLAIN,
    send: (client) => client.plain(RECORD.handshake, NOTHING),
    alert: 'unexpected_message',
  },
  {
    name: 'row 3: a protected handshake record of no bytes',
    states: PROTECTED,
    send: (client) => client.seal(RECORD.handshake, NOTHING),
    alert: 'unexpected_message',
  },
  {
    name: 'row 3: an alert record of no bytes',
    states: ['before the second hello'],
    send: (client) => client.plain(RECORD.alert, NOTHING),
    alert: 'unexpected_message',
  },
  {
    name: 'row 3: a protected alert record of no bytes',
    states: PROTECTED,
    send: (client) => client.seal(RECORD.alert, NOTHING),
    alert: 'unexpected_message',
  },
  {
    name: 'row 4: 17 empty data records',
    states: ['established'],
    send: (client) => {
      for (let count = 0; count < 17; count++) client.send(NOTHING)
    },
    alert: 'unexpected_message',
  },
  {
    name: 'row 4: 17 data records with nothing but padding',
    states: ['established'],
    send: (client) => {
      for (let count = 0; count < 17; count++) client.send(NOTHING, { padding: 100 })
    },
    alert: 'unexpected_message',
  },
  {
    name: 'row 5: 33 change_cipher_spec records',
    states: ['before the second hello', 'while the signature is waited for', 'before Finished'],
    send: (client) => {
      for (let count = 0; count < 33; count++) client.changeCipherSpec()
    },
    alert: 'unexpected_message',
  },
  {
    name: 'row 6: change_cipher_spec with value 2',
    states: STARTED,
    send: (client) => client.plain(RECORD.ccs, u8(2)),
    alert: 'unexpected_message',
  },
  {
    name: 'row 6: change_cipher_spec of two bytes',
    states: STARTED,
    send: (client) => client.plain(RECORD.ccs, Uint8Array.of(1, 1)),
    alert: 'unexpected_message',
  },
  {
    name: 'row 6: change_cipher_spec of no bytes',
    states: STARTED,
    send: (client) => client.plain(RECORD.ccs, NOTHING),
    alert: 'unexpected_message',
  },
  {
    name: 'row 6: change_cipher_spec after Finished',
    states: ['established'],
    send: (client) => client.changeCipherSpec(),
    alert: 'unexpected_message',
  },
  {
    name: 'row 6: protected change_cipher_spec',
    states: PROTECTED,
    send: (client) => client.seal(RECORD.ccs, u8(1)),
    alert: 'unexpected_message',
  },
  {
    name: 'row 6: change_cipher_spec between the fragments of a hello',
    states: PLAIN,
    send: (client) => {
      const hello = encodeHello(client.hello)
      client.plain(RECORD.handshake, hello.subarray(0, 50)).changeCipherSpec()
    },
    alert: 'unexpected_message',
  },
  {
    name: 'row 14: an alert between the fragments of a hello',
    states: PLAIN,
    send: (client) =>
      client.plain(RECORD.handshake, u8(MESSAGE.client_hello)).plain(RECORD.alert, hex('015a')),
    alert: 'unexpected_message',
  },
  {
    name: 'row 6: change_cipher_spec between the fragments of Finished',
    states: ['before Finished'],
    send: (client) =>
      client.seal(RECORD.handshake, client.finishedMessage().subarray(0, 9)).changeCipherSpec(),
    alert: 'unexpected_message',
  },
  {
    name: 'row 14: an alert between the fragments of Finished',
    states: ['before Finished'],
    send: (client) =>
      client.seal(RECORD.handshake, client.finishedMessage().subarray(0, 9)).seal(RECORD.alert, hex('015a')),
    alert: 'unexpected_message',
  },
  {
    name: 'row 14: data between the fragments of a KeyUpdate',
    states: ['established'],
    send: (client) => client.seal(RECORD.handshake, u8(MESSAGE.key_update)).send(u8(1)),
    alert: 'unexpected_message',
  },
  {
    name: 'row 7: an all-zero inner plaintext',
    states: PROTECTED,
    send: (client) => client.raw(client.writer.sealInner(new Uint8Array(20))),
    alert: 'unexpected_message',
  },
  {
    name: 'row 7: an inner plaintext of one zero byte',
    states: PROTECTED,
    send: (client) => client.raw(client.writer.sealInner(u8(0))),
    alert: 'unexpected_message',
  },
  ...[1, 19, 20, 24, 25, 255].map(
    (type): Row => ({
      name: `row 8: inner type ${type}`,
      states: PROTECTED,
      send: (client) => client.seal(type, u8(1)),
      alert: 'unexpected_message',
    }),
  ),
  {
    name: 'row 2: inner content of 16385 bytes',
    states: PROTECTED,
    send: (client) => client.seal(RECORD.data, new Uint8Array(16_385).fill(1)),
    alert: 'record_overflow',
  },
  {
    name: 'row 2: inner content of 16384 bytes and one byte of padding',
    states: PROTECTED,
    send: (client) => client.seal(RECORD.data, new Uint8Array(16_384).fill(1), { padding: 1 }),
    alert: 'record_overflow',
  },
  {
    name: 'row 2: an inner plaintext of 16386 bytes that is mostly padding',
    states: PROTECTED,
    send: (client) => client.seal(RECORD.data, u8(1), { padding: 16_384 }),
    alert: 'record_overflow',
  },
  {
    name: 'row 11: a plaintext handshake record after keys are on',
    states: PROTECTED,
    send: (client) => client.plain(RECORD.handshake, encodeHello(client.hello)),
    alert: 'unexpected_message',
  },
  {
    name: 'row 11: a plaintext alert after a protected record',
    states: ['established'],
    send: (client) => client.plain(RECORD.alert, hex('0228')),
    alert: 'unexpected_message',
  },
  {
    name: 'row 39: a plaintext alert of three bytes after keys are on',
    states: PROTECTED,
    send: (client) => client.plain(RECORD.alert, hex('022800')),
    alert: 'unexpected_message',
  },
  {
    name: 'row 14: a protected record before keys are on',
    states: ['before the second hello'],
    send: (client) => client.plain(RECORD.data, new Uint8Array(40)),
    alert: 'unexpected_message',
  },
  {
    name: 'row 12: data before Finished',
    states: ['while the signature is waited for', 'before Finished'],
    send: (client) => client.send(ascii('GET / HTTP/1.1\r\n')),
    alert: 'unexpected_message',
  },
  {
    name: 'row 12: empty data before Finished',
    states: ['while the signature is waited for', 'before Finished'],
    send: (client) => client.send(NOTHING),
    alert: 'unexpected_message',
  },
  {
    name: 'row 9: a protected record of no bytes',
    states: PROTECTED,
    send: (client) => client.plain(RECORD.data, NOTHING),
    alert: 'bad_record_mac',
  },
  ...[1, 15, 16].map(
    (bytes): Row => ({
      name: `row 9: a protected record of ${bytes} bytes, too short for a type and a tag`,
      states: PROTECTED,
      send: (client) => client.plain(RECORD.data, new Uint8Array(bytes)),
      alert: 'bad_record_mac',
    }),
  ),
  {
    name: 'row 39: an alert of one byte',
    states: PROTECTED,
    send: (client) => client.seal(RECORD.alert, u8(2)),
    alert: 'decode_error',
  },
  {
    name: 'row 39: an alert of three bytes',
    states: PROTECTED,
    send: (client) => client.seal(RECORD.alert, hex('022800')),
    alert: 'decode_error',
  },
  {
    name: 'row 39: two alerts in one record',
    states: PROTECTED,
    send: (client) => client.seal(RECORD.alert, hex('015a015a')),
    alert: 'decode_error',
  },
  {
    name: 'row 39: an unprotected alert of three bytes',
    states: ['before the second hello'],
    send: (client) => client.plain(RECORD.alert, hex('022800')),
    alert: 'decode_error',
  },
]

for (const { name, states, send, alert } of ROWS) {
  for (const state of states) {
    test(`${name} (${state})`, () => {
      const wire = STATES[state]()
      send(wire.client)
      assertRefused(wire.run(), alert, expected(state))
    })
  }
}

test('the server sends ServerHello while the signature is on its way', () => {
  // The rows above that seal in this state need its keys.
  assert.notEqual(STATES['while the signature is waited for']().client.writeKeys, undefined)
})

test('row 2: inner content of 16384 bytes is taken, with the type it is one byte more', () => {
  const wire = STATES.established()
  wire.client.send(new Uint8Array(16_384).fill(1))
  wire.run()
  assert.equal(wire.error, undefined)
  assert.equal(wire.received.length, 16_384)
})

test('row 5: 32 change_cipher_spec records are taken', () => {
  const wire = new Wire({ autoFinish: false }).start()
  for (let count = 0; count < 32; count++) wire.client.changeCipherSpec()
  wire.client.finish()
  wire.run()
  assert.equal(wire.error, undefined)
  assert.equal(wire.establishedCount, 1)
})

test('row 15: bytes after a ClientHello in its record are refused', () => {
  for (const rest of [u8(MESSAGE.finished), u8(0), message(MESSAGE.client_hello, NOTHING)]) {
    const wire = new Wire()
    wire.client.plain(RECORD.handshake, concat(encodeHello(wire.client.hello), rest))
    assertRefused(wire.run(), 'unexpected_message')
  }
})

test('row 15: bytes after Finished in its record are refused, even if they would fit the next state', () => {
  for (const rest of [u8(MESSAGE.key_update), message(MESSAGE.key_update, u8(0))]) {
    const wire = STATES['before Finished']()
    wire.client.seal(RECORD.handshake, concat(wire.client.finishedMessage(), rest))
    assertRefused(wire.run(), 'unexpected_message', { signCalls: 1, encrypted: true })
    assert.equal(wire.establishedCount, 0)
  }
})

test('row 35: bytes after a KeyUpdate in its record are refused', () => {
  const update = message(MESSAGE.key_update, u8(0))
  for (const rest of [u8(MESSAGE.key_update), update]) {
    const wire = STATES.established()
    wire.client.seal(RECORD.handshake, concat(update, rest))
    assertRefused(wire.run(), 'unexpected_message', { signCalls: 1, encrypted: true })
  }
})

// ── not TLS ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('row 45: what is not TLS gets no answer', () => {
  const starts = [
    ...['GET / HTTP/1.1\r\n', 'POST / HTTP/1.1', 'PRI * HTTP/2.0\r\n', 'SSH-2.0-OpenSSH_9.9\r\n'].map(ascii),
    hex('0000000000000000'),
    hex('1603'.padEnd(20, '0')).with(1, 2),
    hex('1503030002022800'),
    hex('14030300010100'),
    hex('1703030020ffff'),
    hex('ffffffffff'),
    hex('1a2b3c4d5e'),
  ]
  for (const start of starts) {
    for (const pieceBytes of [1, 1000]) {
      const wire = new Wire({ pieceBytes })
      wire.deliver(start)
      assertRefused(wire, undefined)
      assert.equal(wire.writes.length, 0)
    }
  }
})

test('row 45: an SSL 2.0 hello is told protocol_version', () => {
  const wire = new Wire()
  wire.client.raw(hex('802e0100020015000000100100800200800300800400800500800600400700c0'), new Uint8Array(32))
  assertRefused(wire.run(), 'protocol_version')
})

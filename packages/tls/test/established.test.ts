// What an established connection must do: data, KeyUpdate, padding, closing. RFC 8446 §4.6.3, §5.1–§5.5, §6.1.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ascii, concat, toHex, u8 } from './support/bytes.ts'
import { message } from './support/client-hello.ts'
import { ALERT, GROUP, MESSAGE, RECORD, SUITE } from './support/code-points.ts'
import { testContext, Wire, establishedWire } from './support/harness.ts'
import { seededRandom } from './support/random.ts'

const MAX_CONTENT_BYTES = 16_384
const random = seededRandom(1)

function assertOpen(wire: Wire): void {
  assert.equal(wire.error, undefined)
  assert.equal(wire.closedCount, 0)
}

for (const [name, suite] of Object.entries(SUITE)) {
  test(`a megabyte each way arrives whole with ${name}`, () => {
    const wire = establishedWire({ hello: { suites: [suite] } })
    const upload = random.bytes(1_000_003)
    const download = random.bytes(1_000_007)
    for (let at = 0; at < upload.length; at += MAX_CONTENT_BYTES) {
      wire.client.send(upload.subarray(at, at + MAX_CONTENT_BYTES))
    }
    wire.server.send([download])
    wire.run()
    assertOpen(wire)
    assert.equal(Buffer.compare(wire.received, upload), 0)
    assert.equal(Buffer.compare(wire.client.received, download), 0)
  })
}

test('data arrives in order whatever its pieces', () => {
  const wire = establishedWire({ pieceBytes: 1 })
  const data = random.bytes(5000)
  for (let at = 0; at < data.length; ) {
    const size = 1 + random.below(200)
    wire.client.send(data.subarray(at, at + size))
    at += size
  }
  wire.run()
  assertOpen(wire)
  assert.equal(toHex(wire.received), toHex(data))
})

test('small chunks of one send share records, and no record is too long', () => {
  const wire = establishedWire()
  const before = wire.client.records.length
  const chunk = random.bytes(1000)
  wire.server.send(Array.from({ length: 50 }, () => chunk))
  wire.run()
  const sizes = wire.client.records.slice(before).map(({ content }) => content.length)
  assert.deepEqual(sizes, [
    MAX_CONTENT_BYTES,
    MAX_CONTENT_BYTES,
    MAX_CONTENT_BYTES,
    50_000 - 3 * MAX_CONTENT_BYTES,
  ])
  assert.equal(toHex(wire.client.received), toHex(concat(...Array.from({ length: 50 }, () => chunk))))
})

test('a send of nothing writes nothing', () => {
  const wire = establishedWire()
  const before = wire.writes.length
  wire.server.send([])
  wire.server.send([new Uint8Array(0)])
  assert.equal(wire.writes.length, before)
})

test('one flight is one write', () => {
  const wire = establishedWire()
  // ServerHello, CCS and the protected messages: at most one write before the signature and one with it.
  assert.ok(wire.writes.length <= 2, `${wire.writes.length} writes`)
})

test('a client may send data with its Finished, before it hears more', () => {
  const wire = new Wire({ autoFinish: false }).start()
  const finished = wire.client.finishedMessage()
  wire.client.changeCipherSpec().finish(finished).send(ascii('GET / HTTP/1.1\r\n\r\n'))
  wire.run()
  assertOpen(wire)
  assert.equal(Buffer.from(wire.received).toString(), 'GET / HTTP/1.1\r\n\r\n')
})

test('the server may send data when it is established, from inside the event', () => {
  const wire = new Wire({ autoFinish: false }).start()
  wire.client.finish()
  wire.deliver(wire.client.take())
  assert.equal(wire.establishedCount, 1)
  wire.server.send([ascii('first')])
  wire.run()
  assert.equal(Buffer.from(wire.client.received).toString(), 'first')
})

test('before it is established the server sends no data', () => {
  const wire = new Wire({ signing: 'hold' }).start()
  const before = wire.writes.length
  wire.server.send([ascii('too early')])
  assert.equal(wire.writes.length, before)
  assertOpen(wire)
})

test('padding of any length is taken off', () => {
  const wire = establishedWire()
  const lengths = [0, 1, 15, 16, 255, 256, 1000, MAX_CONTENT_BYTES - 6]
  for (const padding of lengths) wire.client.send(ascii('padded'), { padding })
  wire.client.seal(RECORD.handshake, message(MESSAGE.key_update, u8(0)), { padding: 100 })
  wire.client.writeKeys = wire.client.writer.next()
  wire.client.send(ascii('end'), { padding: 3 })
  wire.run()
  assertOpen(wire)
  assert.equal(Buffer.from(wire.received).toString(), `${'padded'.repeat(lengths.length)}end`)
})

test('content that ends in zeros keeps them: only what follows the type is padding', () => {
  const wire = establishedWire()
  wire.client.send(new Uint8Array(100), { padding: 50 })
  wire.run()
  assert.equal(toHex(wire.received), '00'.repeat(100))
})

test('a padded Finished is a Finished', () => {
  const wire = new Wire({ autoFinish: false }).start()
  const finished = wire.client.finishedMessage()
  wire.client.seal(RECORD.handshake, finished, { padding: 500 }).finished(finished)
  wire.run()
  assertOpen(wire)
  assert.equal(wire.establishedCount, 1)
})

for (const [name, suite] of Object.entries(SUITE)) {
  test(`a thousand KeyUpdates of the client, answered where asked for, with ${name}`, () => {
    const wire = establishedWire({ hello: { suites: [suite] } })
    for (let round = 0; round < 1000; round++) {
      const isRequested = round % 3 === 0
      wire.client.updateKeys(isRequested ? 1 : 0).send(Uint8Array.of(round, round >>> 8))
      wire.run()
      const before = wire.client.keyUpdates
      wire.server.send([Uint8Array.of(round)])
      wire.run()
      assert.equal(wire.client.keyUpdates - before, isRequested ? 1 : 0, `round ${round}`)
    }
    assertOpen(wire)
    assert.equal(wire.received.length, 2000)
    assert.equal(wire.client.received.length, 1000)
  })
}

test('several requests for new keys share one answer, sent before the next data', () => {
  const wire = establishedWire()
  for (let count = 0; count < 10; count++) wire.client.updateKeys(1)
  wire.run()
  wire.server.send([ascii('a'), ascii('b')])
  wire.server.send([ascii('c')])
  wire.run()
  assertOpen(wire)
  assert.equal(wire.client.keyUpdates, 1)
  assert.equal(Buffer.from(wire.client.received).toString(), 'abc')
})

test('a KeyUpdate may be cut between two records at every byte', () => {
  for (let at = 1; at < 5; at++) {
    const wire = establishedWire()
    const update = message(MESSAGE.key_update, u8(1))
    wire.client.seal(RECORD.handshake, update.subarray(0, at)).seal(RECORD.handshake, update.subarray(at))
    wire.client.writeKeys = wire.client.writer.next()
    wire.client.send(ascii('after'))
    wire.run()
    assertOpen(wire)
    assert.equal(Buffer.from(wire.received).toString(), 'after')
  }
})

test('row 35: 32 KeyUpdates in a row are taken, and data lets 32 more pass', () => {
  const wire = establishedWire()
  for (let round = 0; round < 3; round++) {
    for (let count = 0; count < 32; count++) wire.client.updateKeys(0)
    wire.client.send(u8(round))
  }
  wire.run()
  assertOpen(wire)
  assert.equal(toHex(wire.received), '000102')
})

test('row 4: 16 empty records in a row are taken, and data lets 16 more pass', () => {
  const wire = establishedWire()
  for (let round = 0; round < 3; round++) {
    for (let count = 0; count < 16; count++) wire.client.send(new Uint8Array(0))
    wire.client.send(u8(round))
  }
  wire.run()
  assertOpen(wire)
  assert.equal(toHex(wire.received), '000102')
})

test('no two records of the server are protected alike: the numbers run on, and start anew with each key', () => {
  const wire = establishedWire()
  const same = new Uint8Array(64).fill(0x41)
  for (let count = 0; count < 200; count++) {
    if (count % 50 === 49) wire.client.updateKeys(1)
    wire.client.send(u8(1))
    wire.run()
    wire.server.send([same])
    wire.run()
  }
  assertOpen(wire)
  // The client opens each record under the next number of the key in use: a repeated or skipped one would not open.
  assert.equal(wire.client.received.length, 200 * 64)
  assert.equal(wire.client.keyUpdates, 4)
  const records = wire.client.records.filter(({ outerType }) => outerType === RECORD.data)
  const heads = new Set(records.map(({ bytes }) => toHex(bytes.subarray(5, 21))))
  assert.equal(heads.size, records.length)
})

test('the client closes first: both sides say close_notify, and no error is left', () => {
  const wire = establishedWire()
  wire.client.send(ascii('last words')).alert(ALERT.close_notify, 1)
  wire.run()
  assert.equal(Buffer.from(wire.received).toString(), 'last words')
  assert.equal(wire.endedCount, 1)
  assert.equal(wire.closedCount, 0)
  // RFC 8446 §6.1: closing one direction leaves the other open.
  wire.server.send([ascii('still here')])
  wire.server.close()
  wire.run()
  assert.equal(Buffer.from(wire.client.received).toString(), 'still here')
  assert.deepEqual(wire.client.alerts, [{ level: 1, name: 'close_notify', encrypted: true }])
  assert.equal(wire.closedCount, 1)
  assert.equal(wire.error, undefined)
})

test('the server closes first: it reads on until the client has closed too', () => {
  const wire = establishedWire()
  wire.server.close()
  wire.server.send([ascii('not any more')])
  wire.run()
  assert.equal(wire.alert, 'close_notify')
  assert.equal(wire.client.received.length, 0)
  assert.equal(wire.closedCount, 0)
  wire.client.send(ascii('tail')).alert(ALERT.close_notify, 1)
  wire.run()
  assert.equal(Buffer.from(wire.received).toString(), 'tail')
  assert.equal(wire.closedCount, 1)
  assert.equal(wire.error, undefined)
  assert.deepEqual(wire.client.alerts.length, 1)
})

test('nothing counts after close_notify of the client', () => {
  const wire = establishedWire()
  wire.client.alert(ALERT.close_notify, 1).send(ascii('ghost'))
  wire.run()
  wire.deliver(random.bytes(100))
  assert.equal(wire.data.length, 0)
  assert.equal(wire.error, undefined)
})

test('user_canceled is ignored, whatever its level', () => {
  const wire = establishedWire()
  for (const level of [1, 2, 1, 2]) wire.client.alert(ALERT.user_canceled, level)
  wire.client.send(ascii('no, wait'))
  wire.run()
  assertOpen(wire)
  assert.equal(Buffer.from(wire.received).toString(), 'no, wait')
})

test('closing twice is closing once', () => {
  const wire = establishedWire()
  wire.server.close()
  wire.server.close()
  wire.client.alert(ALERT.close_notify, 1)
  wire.run()
  wire.server.close()
  wire.server.fail('ERR_TLS_INTERNAL')
  wire.server.transportEnded()
  assert.equal(wire.closedCount, 1)
  assert.equal(wire.error, undefined)
  assert.deepEqual(wire.lateEvents, [])
  assert.equal(wire.client.alerts.length, 1)
})

test('a connection with secp256r1 after a retry carries data as any other', () => {
  const wire = establishedWire({ context: testContext({ groups: ['secp256r1'] }), shares: [GROUP.x25519] })
  const data = random.bytes(70_000)
  wire.server.send([data])
  wire.run()
  assert.equal(Buffer.compare(wire.client.received, data), 0)
})

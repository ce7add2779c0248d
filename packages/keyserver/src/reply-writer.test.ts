import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { encodePong, encodeSecretResponse } from '@latchkey/wire'
import { ReplyWriter } from './reply-writer.ts'

const SECRET = new Uint8Array(256).fill(0xa5)
const EVENTS = { written: () => {}, stuck: () => {} }

interface Taken {
  readonly bytes: Uint8Array
  readonly done: () => void
}

/** A socket that takes a write when the test says so. */
function slowSocket(t: { after(end: () => void): void }): { socket: TLSSocket; taken: readonly Taken[] } {
  const taken: Taken[] = []
  const socket = new Duplex({
    read: () => {},
    write: (bytes: Uint8Array, _encoding, done) => taken.push({ bytes, done }),
  })
  t.after(() => socket.destroy())
  return { socket: socket as TLSSocket, taken } // all that a writer wants of a TLS socket, a stream has
}

for (const [how, pongs] of [
  ['alone', 0],
  ['between others', 2],
] as const) {
  test(`a decrypted premaster secret sent ${how} is nowhere when the socket took it`, (t) => {
    const { socket, taken } = slowSocket(t)
    const writer = new ReplyWriter(socket, 1000, EVENTS)
    t.after(() => writer.stop())
    const reply = encodeSecretResponse(1, SECRET)
    const packets = [reply, ...Array.from({ length: pongs }, (_, id) => encodePong(id))]
    const sent = Buffer.concat(packets).toHex()
    for (const packet of packets) writer.add(packet, { isSecret: packet === reply })
    writer.flush()
    const bytes = taken[0]?.bytes ?? SECRET
    assert.equal(Buffer.from(bytes).toHex(), sent)
    assert.equal(bytes.buffer.byteLength, bytes.length) // no part of a pool
    assert.ok(pongs === 0 || isZero(reply)) // it is in `bytes` now
    taken[0]?.done()
    assert.ok(isZero(bytes) && isZero(reply))
  })
}

test('a decrypted premaster secret that the client never took is wiped when the connection is gone', (t) => {
  const { socket, taken } = slowSocket(t)
  const writer = new ReplyWriter(socket, 1000, EVENTS)
  const [onItsWay, behindIt, gathered] = [1, 2, 3].map((id) => encodeSecretResponse(id, SECRET))
  for (const packet of [onItsWay, behindIt]) {
    if (packet !== undefined) writer.add(packet, { isSecret: true })
    writer.flush()
  }
  if (gathered !== undefined) writer.add(gathered, { isSecret: true })
  socket.destroy()
  writer.flush()
  writer.stop()
  assert.equal(taken.length, 1)
  for (const packet of [onItsWay, behindIt, gathered]) assert.ok(packet !== undefined && isZero(packet))
})

test('replies without a secret are not wiped', (t) => {
  const { socket, taken } = slowSocket(t)
  const writer = new ReplyWriter(socket, 1000, EVENTS)
  const pong = encodePong(1)
  writer.add(pong)
  writer.flush()
  taken[0]?.done()
  writer.stop()
  assert.equal(pong[0], 1)
})

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

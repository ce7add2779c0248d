// A connection without TLS below it: what a key server can make it hold.
import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { encodeResponse, type FramedPacket, MAX_PACKET_BYTES, PacketFramer } from '@latchkey/wire'
import { Connection } from './connection.ts'

/** The largest reply there is: its items take seven bytes beside the payload. */
const REPLY = encodeResponse(1, new Uint8Array(65_528).fill(7))

test('a reply in tens of thousands of one-byte records leaves no pile of chunks', async (t) => {
  const { socket, framer, packets } = connected(t)
  let mostChunks = 0
  for (let at = 0; at < REPLY.length; at++) {
    socket.push(REPLY.subarray(at, at + 1))
    if (at % 1000 === 0) await turn()
    mostChunks = Math.max(mostChunks, framer.pendingChunks)
  }
  await turn()
  assert.equal(REPLY.length, MAX_PACKET_BYTES)
  assert.equal(packets[0]?.header.length, MAX_PACKET_BYTES - 8)
  assert.equal(mostChunks, 0)
})

test('what a key server goes on sending after our goodbye is not kept', async (t) => {
  const { socket, framer, packets, connection } = connected(t)
  const closing = connection.close()
  for (let count = 0; count < 1000; count++) socket.push(REPLY.subarray(0, 1))
  socket.push(null)
  await closing
  assert.deepEqual([packets.length, framer.pendingChunks, framer.pendingBytes], [0, 0, 0])
})

for (const { name, bytes, why } of [
  { name: 'without a byte: most likely our certificate', bytes: undefined, why: /client certificate/ },
  { name: 'after an answer', bytes: REPLY, why: /closed the connection$/ },
]) {
  test(`a key server that ends the connection, ${name}`, async (t) => {
    const { socket, losses } = connected(t)
    if (bytes !== undefined) socket.push(bytes)
    socket.push(null)
    await turn()
    await turn()
    assert.equal(losses.length, 1)
    assert.match(losses[0]?.message ?? '', why)
  })
}

interface Connected {
  readonly losses: readonly Error[]
  readonly socket: Duplex
  readonly connection: Connection
  readonly framer: PacketFramer
  readonly packets: readonly FramedPacket[]
}

function connected(t: { after(end: () => void): void }): Connected {
  const socket = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() })
  t.after(() => socket.destroy())
  const framer = new PacketFramer()
  const packets: FramedPacket[] = []
  const losses: Error[] = []
  const handlers = {
    onPacket: (framed: FramedPacket): unknown => packets.push(framed),
    onDrain: () => {},
    onLost: (error: Error): unknown => losses.push(error),
  }
  // All that a connection wants of a TLS socket here, a stream has.
  const connection = new Connection(socket as TLSSocket, handlers, framer)
  return { socket, connection, framer, packets, losses }
}

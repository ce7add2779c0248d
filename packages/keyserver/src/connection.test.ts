// A connection without TLS below it: what a client can make it hold, step by step.
import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import { silentLogger } from '@latchkey/core'
import { encodePacket, encodePong, encodeResponse, OPCODES } from '@latchkey/wire'
import { storeOf, testKey } from '../test/support/test-keys.ts'
import { BackgroundLane } from './background-lane.ts'
import { Connection, type ConnectionContext } from './connection.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { Turns } from './turns.ts'

test('a packet in tens of thousands of one-byte records piles up at the client, not here', async (t) => {
  const { socket, run, sent } = serve(t)
  const ping = { opcode: OPCODES.OpPing.code, payload: new Uint8Array(20_000).fill(7) }
  const packet = encodePacket(1, ping)
  for (let at = 0; at < packet.length; at++) socket.push(packet.subarray(at, at + 1))
  await turn()
  // The thread is busy with others: nothing was taken yet, and what one look may find is bounded.
  assert.ok(socket.isPaused())
  const taken = packet.length - socket.readableLength
  assert.ok(taken > 0 && taken <= 1024, `${taken} chunks were taken`)
  for (let looks = 0; sent().length === 0; looks++) {
    assert.ok(looks < 100, 'it is not read on')
    run()
    await turn()
  }
  assert.deepEqual(sent().toHex(), encodePong(1, ping.payload).toHex())
  assert.equal(socket.isPaused(), false)
})

test('a reply with a decrypted premaster secret has memory of its own, and is wiped when it was sent', async (t) => {
  const { ski, keyType, publicKey, source, algorithms } = testKey('rsa2048')
  const sign = (): Uint8Array => new Uint8Array(256)
  const decryptRaw = (): Uint8Array => new Uint8Array(256).fill(0xa5)
  const key = { ski, keyType, publicKey, source, algorithms, sign, decryptRaw }
  const { socket, run, sent, written } = serve(t, storeOf(key))
  const ask = { opcode: OPCODES.OpRSADecrypt.code, ski, payload: new Uint8Array(256) }
  socket.push(encodePacket(1, ask))
  await turn()
  run()
  await turn()
  assert.equal(sent().toHex(), encodeResponse(1, decryptRaw()).toHex())
  assert.equal(written.length, 1)
  for (const bytes of written) {
    assert.equal(bytes.buffer.byteLength, bytes.length)
    assert.ok(bytes.every((byte) => byte === 0))
  }
})

test('a reply that is asked for alone leaves at once, those of several that came together leave together', async (t) => {
  const { socket, run, sent, written } = serve(t)
  const ping = (id: number): Uint8Array => encodePacket(id, { opcode: OPCODES.OpPing.code })
  const pong = (id: number): string => encodePong(id, new Uint8Array()).toHex()
  socket.push(ping(1))
  await turn()
  run()
  assert.equal(sent().toHex(), pong(1))
  socket.push(Buffer.concat([ping(2), ping(3)]))
  await turn()
  run()
  assert.equal(written.length, 1, 'one more look at the socket')
  socket.push(ping(4))
  await turn()
  run()
  assert.equal(sent().toHex(), [1, 2, 3, 4].map(pong).join(''))
  assert.equal(written.length, 2)
  // Nothing more comes: then they do not wait for it.
  socket.push(Buffer.concat([ping(5), ping(6)]))
  await turn()
  run()
  run()
  assert.equal(written.length, 3)
})

interface Served {
  readonly socket: Duplex
  /** Gives the connection its turn: what the thread does when it is not busy with others. */
  readonly run: () => void
  /** What the client gets. */
  readonly sent: () => Uint8Array
  /** The memory that it was in. */
  readonly written: readonly Uint8Array[]
}

function serve(t: { after(end: () => void): void }, keyStore = storeOf()): Served {
  const written: Uint8Array[] = []
  const sent: Uint8Array[] = []
  const socket = new Duplex({
    read: () => {},
    write: (chunk: Uint8Array, _encoding, done) => {
      written.push(chunk)
      sent.push(new Uint8Array(chunk))
      done()
    },
  })
  const turns: (() => void)[] = []
  const context: ConnectionContext = {
    limits: DEFAULT_LIMITS,
    turns: new Turns({ schedule: (turn) => turns.push(turn) }),
    observer: {},
    tracer: undefined,
    audit: undefined,
    logger: silentLogger,
    anyVersion: false,
    closed: () => {},
    answers: {
      keyStore,
      observer: {},
      denial: undefined,
      missingSki: 'internal',
      sealing: undefined,
      signRetries: 0,
      backgroundLane: new BackgroundLane(1),
      lookedUp: () => {},
    },
  }
  const client = { peer: 'test', chain: [], names: '', serial: '', knowsScopes: false }
  // All that a connection wants of a TLS socket, a stream has.
  const connection = new Connection(socket as TLSSocket, client, context)
  t.after(() => connection.drain('shutdown', 0))
  return { socket, run: () => turns.shift()?.(), sent: () => Buffer.concat(sent), written }
}

// One connection: how bytes become packets, in which order answers come, and how it ends.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { test } from 'node:test'
import { encodePacket, OPCODES } from '@latchkey/wire'
import type { ConnectionEnd } from '../src/index.ts'
import { errorByte, text } from './support/test-client.ts'
import { RemoteKey, storeOf, testKey } from './support/test-keys.ts'
import { startServer } from './support/test-server.ts'

const PING = OPCODES.OpPing.code
const SIGN = OPCODES.OpECDSASignSHA256.code
const DIGEST = new Uint8Array(32).fill(9)

function signRequest(id: number, { ski }: RemoteKey): Uint8Array {
  return encodePacket(id, { opcode: SIGN, ski, payload: DIGEST })
}

test('a request that comes one byte per TLS record is answered', async (t) => {
  const client = await (await startServer(t)).connect()
  client.socket.setNoDelay(true)
  for (const byte of encodePacket(5, { opcode: PING, payload: text('slow') }, { pad: false })) {
    client.socket.write(Uint8Array.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.deepEqual((await client.reply(5)).operation.payload, text('slow'))
})

test('an unpadded ping of 12 bytes is answered', async (t) => {
  const client = await (await startServer(t)).connect()
  client.send(Buffer.from('0100000400000007110001f1', 'hex'))
  assert.equal((await client.reply(7)).operation.opcode, OPCODES.OpPong.code)
})

test('many packets in one piece, the last one cut, are answered as they become whole', async (t) => {
  const client = await (await startServer(t)).connect()
  const packets = Array.from({ length: 200 }, (_, id) =>
    encodePacket(id, { opcode: PING, payload: text(`${id}`) }),
  )
  const bytes = Buffer.concat(packets)
  client.socket.write(bytes.subarray(0, -10))
  await client.replies(199)
  client.socket.write(bytes.subarray(-10))
  for (const { id, operation } of await client.replies(200))
    assert.deepEqual(operation.payload, text(`${id}`))
})

test('answers come in order of completion, and a ping overtakes them', async (t) => {
  const key = new RemoteKey()
  const client = await (await startServer(t, { keyStore: storeOf(key) })).connect()
  client.send(
    signRequest(1, key),
    signRequest(2, key),
    signRequest(3, key),
    encodePacket(4, { opcode: PING }),
  )
  await key.asked(3)
  await client.reply(4)
  for (const index of [2, 0, 1]) {
    key.questions[index]?.answer(text(`signature ${index + 1}`))
    await client.reply(index + 1)
  }
  assert.deepEqual(
    client.packets.map(({ id }) => id),
    [4, 3, 1, 2],
  )
  assert.deepEqual((await client.reply(3)).operation.payload, text('signature 3'))
})

test('any id is answered with itself, and a repeated one as often as it was sent', async (t) => {
  const key = new RemoteKey()
  const client = await (await startServer(t, { keyStore: storeOf(key) })).connect()
  client.send(signRequest(8, key), signRequest(8, key), signRequest(0, key), signRequest(0xffffffff, key))
  await key.asked(4)
  for (const { answer } of key.questions) answer(text('s'))
  const packets = await client.replies(4)
  assert.deepEqual(
    packets.map(({ id }) => id).sort((a, b) => a - b),
    [0, 8, 8, 0xffffffff],
  )
})

/** Bodies that are refused: another implementation closes the connection without a word. */
const MALFORMED: Readonly<Record<string, string>> = {
  'an opcode of two bytes': '110002f1f1',
  'an opcode of no bytes': '110000',
  'a client address of five bytes': '110001f10300050102030405',
  'a server address of no bytes': '110001f1050000',
  'a region of two bytes': '110001f11700020101',
  'two payloads': '110001f11200016112000162',
  'padding twice': '110001f12000010020000100',
  'a wrong SKI, then a right one': `110001f1040001aa040014${'11'.repeat(20)}`,
  'an item that runs past the end': '110001f112ffff61',
}
for (const [name, body] of Object.entries(MALFORMED)) {
  test(`malformed: ${name} is answered with error 7, after what runs, and closed`, async (t) => {
    const key = new RemoteKey()
    const ends: ConnectionEnd[] = []
    const observer = { connectionClosed: (end: ConnectionEnd) => ends.push(end) }
    const { connect, log, server } = await startServer(t, { keyStore: storeOf(key), observer })
    const client = await connect()
    client.send(signRequest(1, key))
    await key.asked(1)
    const length = (body.length / 2).toString(16).padStart(4, '0')
    const after = encodePacket(99, { opcode: PING })
    client.send(Buffer.from(`0100${length}0000002a${body}`, 'hex'), after)
    assert.equal(errorByte(await client.reply(42)), 7)
    key.questions[0]?.answer(text('signature'))
    await client.closed()
    assert.deepEqual((await client.reply(1)).operation.payload, text('signature'))
    assert.equal(client.packets.length, 2) // what came after the malformed packet was not answered
    await log.line(/: removed$/)
    assert.deepEqual(ends, ['malformed'])
    assert.equal(log.lines('error').length, 1)
    assert.equal(server.connectionCount, 0)
  })
}

test('another major version is answered with error 4, and the connection goes on', async (t) => {
  const client = await (await startServer(t)).connect()
  client.send(Buffer.from('0207000400000005110001f1', 'hex'), encodePacket(6, { opcode: PING }))
  assert.equal(errorByte(await client.reply(5)), 4)
  assert.equal((await client.reply(6)).operation.opcode, OPCODES.OpPong.code)
})

test('another major version is served where any version is', async (t) => {
  const client = await (await startServer(t, { anyVersion: true })).connect()
  client.send(Buffer.from('0207000400000005110001f1', 'hex'))
  const reply = await client.reply(5)
  assert.equal(reply.operation.opcode, OPCODES.OpPong.code)
  assert.deepEqual([reply.major, reply.minor], [1, 0])
})

test('another minor version is served', async (t) => {
  const client = await (await startServer(t)).connect()
  client.send(Buffer.from('0109000400000005110001f1', 'hex'))
  assert.equal((await client.reply(5)).operation.opcode, OPCODES.OpPong.code)
})

test('a client that has sent all it wants still gets every reply', async (t) => {
  const key = new RemoteKey()
  const { connect, log, server } = await startServer(t, { keyStore: storeOf(key) })
  const client = await connect()
  client.socket.allowHalfOpen = true
  const pings = Array.from({ length: 300 }, (_, id) => encodePacket(id + 10, { opcode: PING }))
  client.socket.end(Buffer.concat([signRequest(1, key), ...pings]))
  await key.asked(1)
  key.questions[0]?.answer(text('late'))
  await client.replies(301)
  await client.closed()
  await log.line(/^connection 127\.0\.0\.1:\d+: closed$/)
  await log.line(/^connection 127\.0\.0\.1:\d+: removed$/)
  assert.equal(server.connectionCount, 0)
  assert.deepEqual(log.lines('error'), [])
})

test('a client that leaves in the middle of a packet is not an error to an operator', async (t) => {
  const ends: ConnectionEnd[] = []
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  const observer = {
    connectionClosed: (end: ConnectionEnd) => {
      ends.push(end)
      resolve()
    },
  }
  const { connect, log } = await startServer(t, { observer })
  const client = await connect()
  client.socket.end(Uint8Array.of(1, 0, 3))
  await closed
  assert.deepEqual(ends, ['partial'])
  assert.deepEqual(log.lines('error'), [])
})

test('a client killed while its key works: the key is told, the others are served, nothing is left', async (t) => {
  const key = new RemoteKey()
  const { connect, port, server, log } = await startServer(t, { keyStore: storeOf(key) })
  const tcp = connectTcp(port, '127.0.0.1')
  const killed = await connect({ socket: tcp })
  const other = await connect()
  killed.send(signRequest(1, key))
  await key.asked(1)
  const question = key.questions[0] ?? assert.fail()
  const aborted = once(question.signal ?? assert.fail(), 'abort')
  tcp.resetAndDestroy()
  await aborted
  question.answer(text('for nobody'))
  assert.equal((await other.ask(2, { opcode: PING })).operation.opcode, OPCODES.OpPong.code)
  assert.equal(server.connectionCount, 1)
  assert.deepEqual(log.lines('error'), [])
})

test('a flood of RSA signatures on one connection does not hold up the ping of another', async (t) => {
  const rsa = testKey('rsa2048')
  const { connect } = await startServer(t, { keyStore: storeOf(rsa) })
  const busy = await connect()
  const quick = await connect()
  const flood = 300
  const request = { opcode: OPCODES.OpRSASignSHA256.code, ski: rsa.ski, payload: DIGEST }
  busy.send(...Array.from({ length: flood }, (_, id) => encodePacket(id, request)))
  await busy.replies(1)
  await quick.ask(1, { opcode: PING })
  assert.ok(busy.packets.length < flood / 2, `${busy.packets.length} signatures were waited for`)
  await busy.replies(flood)
})

test('random bytes never stop the server: each connection ends, the next is served', async (t) => {
  const { connect, server } = await startServer(t, { limits: { readTimeoutMs: 100, drainMs: 100 } })
  let seed = 1
  const next = (): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
    return seed >>> 24
  }
  for (let round = 0; round < 10; round++) {
    const client = await connect()
    client.send(Uint8Array.from({ length: 3000 }, next))
    await client.closed()
  }
  const last = await connect()
  assert.equal((await last.ask(2, { opcode: PING })).operation.opcode, OPCODES.OpPong.code)
  assert.equal(server.connectionCount, 1)
})

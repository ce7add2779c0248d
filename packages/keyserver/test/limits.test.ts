// Every limit, reached: what a client can make this server hold, and for how long.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodePacket, OPCODES } from '@latchkey/wire'
import { type ConnectionEnd, createKeyServer, DEFAULT_LIMITS, type Limits } from '../src/index.ts'
import { pki } from './support/pki.ts'
import { errorByte, text } from './support/test-client.ts'
import { RemoteKey, storeOf } from './support/test-keys.ts'
import { startServer, TestLog } from './support/test-server.ts'

const PING = OPCODES.OpPing.code
const SIGN = OPCODES.OpECDSASignSHA256.code
const DIGEST = new Uint8Array(32)

/** Notes how connections end. */
class Ends {
  readonly list: ConnectionEnd[] = []
  connectionClosed(end: ConnectionEnd): void {
    this.list.push(end)
  }
}

test('an idle connection is closed after the read timeout, without an error line', async (t) => {
  const observer = new Ends()
  const { connect, log } = await startServer(t, { observer, limits: { readTimeoutMs: 100 } })
  const client = await connect()
  await client.closed()
  await log.line(/: removed$/)
  assert.deepEqual(observer.list, ['idle'])
  assert.deepEqual(log.lines('error'), [])
})

test('whole packets keep a connection open, single bytes do not', async (t) => {
  const observer = new Ends()
  const { connect, log } = await startServer(t, { observer, limits: { readTimeoutMs: 300 } })
  const client = await connect()
  for (let id = 0; id < 6; id++) {
    await client.ask(id, { opcode: PING })
    await sleep(80)
  }
  assert.equal(client.isClosed, false)
  const started = performance.now()
  for (const byte of encodePacket(7, { opcode: PING })) {
    if (client.isClosed) break
    client.socket.write(Uint8Array.of(byte))
    await sleep(20)
  }
  await client.closed()
  assert.ok(performance.now() - started < 3000)
  await log.line(/: removed$/)
  assert.deepEqual(observer.list, ['stalled'])
})

test('on the read timeout a running request is still answered', async (t) => {
  const key = new RemoteKey()
  const { connect } = await startServer(t, { keyStore: storeOf(key), limits: { readTimeoutMs: 60 } })
  const client = await connect()
  client.send(encodePacket(1, { opcode: SIGN, ski: key.ski, payload: DIGEST }))
  await key.asked(1)
  await sleep(120)
  assert.equal(client.isClosed, false)
  key.questions[0]?.answer(text('just in time'))
  assert.deepEqual((await client.reply(1)).operation.payload, text('just in time'))
  await client.closed()
})

test('on the read timeout a request that never ends is not waited for', async (t) => {
  const key = new RemoteKey()
  const limits = { readTimeoutMs: 60, drainMs: 60 }
  const { connect, log } = await startServer(t, { keyStore: storeOf(key), limits })
  const client = await connect()
  client.send(encodePacket(1, { opcode: SIGN, ski: key.ski, payload: DIGEST }))
  await client.closed()
  await log.line(/: removed$/)
  assert.equal(client.packets.length, 0)
  assert.equal(key.questions[0]?.signal?.aborted, true)
})

test('a key that does not answer is given up: error 1, told to stop, a late answer dropped', async (t) => {
  const key = new RemoteKey()
  const { connect, log } = await startServer(t, {
    keyStore: storeOf(key),
    limits: { operationTimeoutMs: 60 },
  })
  const client = await connect()
  const reply = await client.ask(1, { opcode: SIGN, ski: key.ski, payload: DIGEST })
  assert.equal(errorByte(reply), 1)
  assert.match(log.lines('error')[0] ?? '', /no answer within 60 ms$/)
  assert.equal(key.questions[0]?.signal?.aborted, true)
  key.questions[0]?.answer(text('too late'))
  await client.ask(2, { opcode: PING })
  assert.deepEqual(
    client.packets.map(({ id }) => id),
    [1, 2],
  )
})

test('no more requests are taken than may be in flight; the next one follows an answer', async (t) => {
  const key = new RemoteKey()
  const { connect } = await startServer(t, { keyStore: storeOf(key), limits: { maxInFlight: 4 } })
  const client = await connect()
  const requests = Array.from({ length: 20 }, (_, id) =>
    encodePacket(id, { opcode: SIGN, ski: key.ski, payload: DIGEST }),
  )
  client.send(...requests)
  await key.asked(4)
  await sleep(50)
  assert.equal(key.questions.length, 4)
  for (let index = 0; index < 20; index++) {
    await key.asked(Math.min(20, index + 4))
    key.questions[index]?.answer(text('s'))
    await client.replies(index + 1)
  }
  assert.deepEqual(
    client.packets.map(({ id }) => id),
    Array.from({ length: 20 }, (_, id) => id),
  )
})

test('waiting for the key does not count as silence of the client', async (t) => {
  const key = new RemoteKey()
  const limits = { maxInFlight: 1, readTimeoutMs: 60 }
  const { connect } = await startServer(t, { keyStore: storeOf(key), limits })
  const client = await connect()
  const sign = { opcode: SIGN, ski: key.ski, payload: DIGEST }
  client.send(encodePacket(1, sign), encodePacket(2, sign))
  await key.asked(1)
  await sleep(200)
  key.questions[0]?.answer(text('s'))
  await key.asked(2)
  key.questions[1]?.answer(text('s'))
  await client.replies(2)
})

/** 36 MB of pongs: more than the socket buffers of both ends hold together. */
const PONGS = 600
const PONG_PAYLOAD = new Uint8Array(60_000).fill(0x70)

test('a client that does not read is not read from: its replies do not pile up', async (t) => {
  let arrived = 0
  const observer = { requestArrived: (): number => arrived++ }
  const { connect } = await startServer(t, { observer })
  const client = await connect()
  client.socket.pause()
  const packet = encodePacket(1, { opcode: PING, payload: PONG_PAYLOAD })
  for (let count = 0; count < PONGS; count++) client.socket.write(packet)
  let before = -1
  while (arrived !== before) {
    before = arrived
    await sleep(200)
  }
  // At most maxQueuedReplyBytes wait in the process; the kernel's buffers hold a few megabytes besides.
  assert.ok(arrived < PONGS / 2, `${arrived} requests of ${PONGS} were taken`)
  client.socket.resume()
  await client.replies(PONGS)
  assert.equal(arrived, PONGS)
})

test('a client that does not read for the write timeout is cut off', async (t) => {
  const observer = new Ends()
  const { connect, log } = await startServer(t, { observer, limits: { writeTimeoutMs: 150 } })
  const client = await connect()
  client.socket.pause()
  const packet = encodePacket(1, { opcode: PING, payload: PONG_PAYLOAD })
  for (let count = 0; count < PONGS; count++) client.socket.write(packet)
  await log.line(/: removed$/)
  assert.deepEqual(observer.list, ['write_timeout'])
})

test('connections above the limit are refused; one that ends makes room', async (t) => {
  const { connect, server, log } = await startServer(t, { limits: { maxConnections: 2 } })
  const first = await connect()
  await first.ask(1, { opcode: PING })
  const second = await connect()
  await second.ask(1, { opcode: PING })
  await assert.rejects(connect())
  await assert.rejects(connect())
  assert.equal(log.lines('warning').length, 1) // once, not once a connection
  assert.equal(server.connectionCount, 2)
  first.destroy()
  await log.line(/: removed$/)
  const third = await connect()
  assert.equal((await third.ask(1, { opcode: PING })).operation.opcode, OPCODES.OpPong.code)
})

test('strangers in their handshake cannot take the place of clients', async (t) => {
  const limits = { maxHandshakes: 2, handshakeTimeoutMs: 10_000 }
  const { connect, port, log } = await startServer(t, { limits })
  const served = await connect()
  const strangers = [connectTcp(port, '127.0.0.1'), connectTcp(port, '127.0.0.1')]
  for (const stranger of strangers) await once(stranger.resume(), 'connect')
  const next = await connect()
  assert.equal((await next.ask(1, { opcode: PING })).operation.opcode, OPCODES.OpPong.code)
  await log.line(/refused, too many handshakes/)
  assert.deepEqual(
    strangers.map(({ destroyed, closed }) => destroyed || closed),
    [true, false],
    'the one who came first has given way',
  )
  assert.equal((await served.ask(1, { opcode: PING })).operation.opcode, OPCODES.OpPong.code)
  for (const stranger of strangers) stranger.destroy()
})

test('a limit that makes no sense is a mistake of the caller', async () => {
  const { ca, server } = await pki()
  const { logger } = new TestLog()
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof Limits)[]) {
    for (const value of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
      const make = (): unknown =>
        createKeyServer({
          keyStore: storeOf(),
          cert: server.chainPem,
          key: server.privateKeyPem,
          ca: ca.certificatePem,
          logger,
          limits: { [name]: value },
        })
      assert.throws(make, RangeError)
    }
  }
})

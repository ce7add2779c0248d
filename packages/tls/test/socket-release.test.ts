// Memory is given back early, and never memory that somebody still uses.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { TlsSocket } from '@latchkey/tls'
import {
  collect,
  connectTls,
  event,
  type ServerOptions,
  startTls,
  type TestServer,
  until,
} from './support/socket-server.ts'

interface Pair extends AsyncDisposable {
  readonly server: TestServer
  readonly client: TLSSocket
  readonly socket: TlsSocket
}

async function pair(options?: ServerOptions): Promise<Pair> {
  const sockets: TlsSocket[] = []
  const server = await startTls((socket) => sockets.push(socket), options)
  const client = await connectTls(server.port)
  await until(() => sockets.length === 1)
  return {
    server,
    client,
    socket: sockets[0] as TlsSocket,
    [Symbol.asyncDispose]: async () => {
      client.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const isFreed = ({ buffer }: Uint8Array): boolean => buffer instanceof ArrayBuffer && buffer.detached

test('release: what is written stays the writer’s by default', async () => {
  await using both = await pair()
  const mine = new Uint8Array(randomBytes(100_000))
  const copy = Buffer.from(mine)
  both.socket.write(mine)
  both.socket.write(mine)
  both.socket.end()
  const received = await collect(both.client)
  assert.deepEqual(received, Buffer.concat([copy, copy]))
  assert.deepEqual(Buffer.from(mine), copy)
})

test('release: with releaseWritten a buffer is gone once it is written, and only if it owns its memory', async () => {
  await using both = await pair({ releaseWritten: true })
  const given = new Uint8Array(100_000).fill(1)
  const whole = new Uint8Array(100_000).fill(2)
  const view = whole.subarray(1000, 90_000)
  const small = new Uint8Array(1000).fill(3)
  for (const bytes of [given, view, small]) both.socket.write(bytes)
  both.socket.end('text')
  const received = await collect(both.client)
  assert.deepEqual(
    [1, 2, 3].map((value) => received.filter((byte) => byte === value).length),
    [100_000, 89_000, 1000],
  )
  assert.equal(received.subarray(-4).toString(), 'text')
  assert.deepEqual([given, whole, small].map(isFreed), [true, false, false])
  assert.ok(whole.every((byte) => byte === 2) && small.every((byte) => byte === 3))
})

test('release: a writer that gives its buffers away to a slow reader loses nothing', async () => {
  await using both = await pair({ releaseWritten: true })
  const { client, socket } = both
  const sent = createHash('sha256')
  const received = createHash('sha256')
  let total = 0
  let arrived = 0
  client.on('data', (chunk: Buffer) => {
    received.update(chunk)
    arrived += chunk.length
    // Now and then it reads nothing for a moment, so that the server's writes queue up.
    if (Math.random() < 0.02) {
      client.pause()
      setTimeout(() => client.resume(), 3)
    }
  })
  for (let round = 0; round < 300; round++) {
    const chunk = new Uint8Array(randomBytes([100, 4096, 16_384, 16_385, 65_536][round % 5] as number))
    sent.update(chunk)
    total += chunk.length
    if (!socket.write(chunk)) await event(socket, 'drain')
  }
  await until(() => arrived === total)
  assert.equal(received.digest('hex'), sent.digest('hex'))
})

test('release: received bytes are freed when they are decrypted, and the stream has its own', async () => {
  await using both = await pair()
  const raw = both.server.raw[0] as Socket
  const chunks: Uint8Array[] = []
  raw.on('data', (chunk: Uint8Array) => chunks.push(chunk))
  const data = randomBytes(1_000_000)
  both.client.end(data)
  assert.equal(sha256(await collect(both.socket)), sha256(data))
  assert.ok(chunks.filter(isFreed).length > 5)
  assert.ok(
    // A read that nearly fills its buffer is not cut to size by Node, so it does not own all of its memory.
    chunks.every((chunk) => chunk.length < 4096 || chunk.length < chunk.buffer.byteLength),
    'a large chunk was kept',
  )
})

test('release: destroying a stream whose bytes are still with the kernel is safe', async () => {
  await using server = await startTls(
    (socket) => {
      socket.write(new Uint8Array(4_000_000))
      socket.write(new Uint8Array(4_000_000))
      setImmediate(() => socket.destroy())
    },
    { releaseWritten: true },
  )
  for (let round = 0; round < 10; round++) {
    const client = await connectTls(server.port)
    client.pause()
    await until(() => server.raw[round]?.destroyed === true)
    // Memory that was freed too early is used again by this.
    for (let index = 0; index < 20; index++) new Uint8Array(100_000).fill(0xff)
    client.destroy()
  }
})

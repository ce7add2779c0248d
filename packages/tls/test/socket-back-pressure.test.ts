// Neither side can make the other keep more than a few buffers: whoever does not read stops whoever writes.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { TlsSocket } from '@latchkey/tls'
import { connectTls, event, startTls, until } from './support/socket-server.ts'

const KIBIBYTE = 1 << 10
const MEBIBYTE = 1 << 20
/** What a stream of Node's takes before it says stop. */
const HIGH_WATER_MARK = 64 * KIBIBYTE
/** More than the kernel keeps for a connection: 6 MiB for the reader and 4 for the writer by default. */
const MORE_THAN_KERNEL = 24 * MEBIBYTE

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Writes `data` in pieces of `size`, as fast as the reader lets it. */
async function writeAll(target: NodeJS.WritableStream, data: Uint8Array, size: number): Promise<void> {
  for (let at = 0; at < data.length; at += size)
    if (!target.write(data.subarray(at, at + size))) await event(target, 'drain')
}

/** Resolves when `count()` has not changed for a while. */
async function stalled(count: () => number): Promise<number> {
  for (;;) {
    const before = count()
    await sleep(60)
    if (before > 0 && count() === before) return before
  }
}

test('back-pressure: a client that stops reading stops the server, and gets every byte when it goes on', async () => {
  const data = randomBytes(MORE_THAN_KERNEL)
  const pieceBytes = 16 * KIBIBYTE
  const sockets: TlsSocket[] = []
  await using server = await startTls((socket) => sockets.push(socket))
  const client = await connectTls(server.port)
  await until(() => sockets.length === 1)
  const [socket, raw] = [sockets[0] as TlsSocket, server.raw[0] as Socket]
  let drains = 0
  socket.on('drain', () => drains++)
  const written = writeAll(socket, data, pieceBytes)
  const sent = await stalled(() => raw.bytesWritten)
  assert.ok(sent < MORE_THAN_KERNEL, `${sent} bytes were taken from the writer`)
  assert.equal(socket.writableNeedDrain, true)
  assert.ok(socket.writableLength <= HIGH_WATER_MARK + pieceBytes, `${socket.writableLength} in the stream`)
  assert.ok(raw.writableLength <= 2 * HIGH_WATER_MARK, `${raw.writableLength} in the socket`)
  const drainsBefore = drains

  const hash = createHash('sha256')
  let received = 0
  client.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    received += chunk.length
  })
  await written
  await until(() => received === data.length)
  assert.ok(drains > drainsBefore)
  assert.equal(hash.digest('hex'), sha256(data))
})

test('back-pressure: a server that does not read stops the client, and gets every byte when it does', async () => {
  const data = randomBytes(MORE_THAN_KERNEL)
  const sockets: TlsSocket[] = []
  await using server = await startTls((socket) => sockets.push(socket))
  const client = await connectTls(server.port)
  const written = writeAll(client, data, 64 * KIBIBYTE)
  await until(() => server.raw[0] !== undefined && sockets.length === 1)
  const [socket, raw] = [sockets[0] as TlsSocket, server.raw[0] as Socket]
  await stalled(() => raw.bytesRead)
  assert.equal(client.writableNeedDrain, true)
  assert.equal(raw.isPaused(), true)
  // One read of the socket may come on top of a full buffer, in each of the two streams.
  assert.ok(socket.readableLength <= 2 * HIGH_WATER_MARK, `${socket.readableLength} decrypted`)
  assert.ok(raw.readableLength <= 2 * HIGH_WATER_MARK, `${raw.readableLength} not decrypted`)
  assert.ok(raw.bytesRead <= 5 * HIGH_WATER_MARK, `${raw.bytesRead} read from the kernel`)

  const hash = createHash('sha256')
  let received = 0
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    received += chunk.length
  })
  await written
  await until(() => received === data.length)
  assert.equal(hash.digest('hex'), sha256(data))
})

test('back-pressure: an echo to a client that does not read stops the client', async () => {
  await using server = await startTls((socket) => void socket.pipe(socket))
  const client = await connectTls(server.port)
  const data = randomBytes(2 * MORE_THAN_KERNEL)
  const written = writeAll(client, data, 64 * KIBIBYTE)
  await until(() => server.raw.length === 1)
  const raw = server.raw[0] as Socket
  const read = await stalled(() => raw.bytesRead)
  assert.ok(read < MORE_THAN_KERNEL, `${read} bytes were taken from the client`)
  const hash = createHash('sha256')
  let received = 0
  client.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    received += chunk.length
  })
  await written
  await until(() => received === data.length)
  assert.equal(hash.digest('hex'), sha256(data))
})

test('back-pressure: a writer that waits for drain is let go when the client leaves', async () => {
  const sockets: TlsSocket[] = []
  await using server = await startTls((socket) => sockets.push(socket))
  const client = await connectTls(server.port)
  await until(() => sockets.length === 1)
  const socket = sockets[0] as TlsSocket
  const outcome = new Promise((resolve) => socket.write(new Uint8Array(MORE_THAN_KERNEL), resolve))
  await stalled(() => socket.bytesWritten)
  client.destroy()
  await outcome
  await until(() => socket.destroyed)
})

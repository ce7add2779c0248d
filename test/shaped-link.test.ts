// The link that other tests shape: it does what it is told.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type LinkShape, ShapedLink } from './support/shaped-link.ts'

const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket))
before(async () => {
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
})
after(() => void echo.close())

async function dialled(shape: Partial<LinkShape>) {
  const link = await ShapedLink.start((echo.address() as AddressInfo).port, shape)
  const socket = connect(link.port, '127.0.0.1').setNoDelay(true)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return { link, socket }
}

/** Milliseconds until all of `bytes` is back. */
async function echoMs(socket: Socket, bytes: Buffer): Promise<number> {
  const startedAt = performance.now()
  const got: Buffer[] = []
  let length = 0
  const done = new Promise<void>((resolve) => {
    const read = (chunk: Buffer): void => {
      got.push(chunk)
      length += chunk.length
      if (length < bytes.length) return
      socket.off('data', read)
      resolve()
    }
    socket.on('data', read)
  })
  socket.write(bytes)
  await done
  assert.ok(Buffer.concat(got).equals(bytes), 'in order, and whole')
  return performance.now() - startedAt
}

test('delay: twice of one way', async () => {
  const { link, socket } = await dialled({ delayMs: 40 })
  await using _link = link
  const ms = await echoMs(socket, Buffer.from('ping'))
  assert.ok(ms >= 79 && ms < 140, `${ms}`)
  socket.destroy()
})

test('bandwidth, and jitter that mixes nothing up', async () => {
  const { link, socket } = await dialled({ bytesPerSecond: 1_000_000, jitterMs: 20 })
  await using _link = link
  const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, n) => n % 251))
  const ms = await echoMs(socket, bytes)
  assert.ok(ms >= 200, `${ms}`)
  socket.destroy()
})

test('stalled: it comes later; black hole: it never comes; cut: the connection breaks', async () => {
  const { link, socket } = await dialled({})
  await using _link = link
  link.stall()
  const late = echoMs(socket, Buffer.from('late'))
  assert.equal(await Promise.race([late, delay(100, 'nothing')]), 'nothing')
  link.mend()
  await late
  link.blackHole()
  socket.write('lost')
  assert.equal(await Promise.race([once(socket, 'data'), delay(100, 'nothing')]), 'nothing')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  await link.cut()
  await closed
})

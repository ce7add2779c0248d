// A place is for who says hello: less time than for the handshake.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RawClient } from './support/raw-client.ts'
import { connectTls, event, startTls, until } from './support/socket-server.ts'

const HELLO_MS = 100
const HANDSHAKE_MS = 400

test('row 44: hello: a client that says nothing has helloTimeoutMs and no more', async () => {
  await using server = await startTls(() => {}, { helloTimeoutMs: HELLO_MS, handshakeTimeoutMs: 5000 })
  const start = performance.now()
  using client = new RawClient(server.port)
  await client.ended()
  const waited = performance.now() - start
  assert.ok(waited >= HELLO_MS - 10 && waited < 1500, `${waited} ms`)
  assert.equal(server.failures[0]?.code, 'ERR_TLS_HANDSHAKE_TIMEOUT')
})

test('hello: who has said it has the time of the handshake', async () => {
  await using server = await startTls(() => {}, {
    helloTimeoutMs: HELLO_MS,
    handshakeTimeoutMs: HANDSHAKE_MS,
  })
  const start = performance.now()
  using client = new RawClient(server.port, { autoFinish: false })
  client.hello()
  await client.ended()
  const waited = performance.now() - start
  assert.ok(waited >= HANDSHAKE_MS - 20 && waited < HANDSHAKE_MS + 1500, `${waited} ms`)
})

test('hello: many that are late at the same time hang up in turns, and others go on meanwhile', async () => {
  const IDLE = 300
  /** As many steps as the handshake queue has room for in a turn. */
  const A_TURN = 32
  await using server = await startTls((socket) => void socket.pipe(socket), { helloTimeoutMs: 1500 })
  const good = await connectTls(server.port)
  const clients = Array.from({ length: IDLE }, () => new RawClient(server.port))
  try {
    // A byte now and then is no hello: slow loris.
    for (const { socket } of clients) socket.write(Uint8Array.of(22))
    await until(() => server.raw.length === IDLE + 1)
    let most = 0
    let before = 0
    let isWatching = true
    const watch = (): void => {
      most = Math.max(most, server.failures.length - before)
      before = server.failures.length
      if (isWatching) setImmediate(watch)
    }
    watch()
    await until(() => server.failures.length === IDLE)
    isWatching = false
    assert.ok(most <= A_TURN, `${most} in one turn`)
    assert.ok(server.failures.every(({ code }) => code === 'ERR_TLS_HANDSHAKE_TIMEOUT'))
    good.write('still here')
    assert.equal(String((await event(good, 'data'))[0]), 'still here')
  } finally {
    for (const client of clients) client.socket.destroy()
  }
})

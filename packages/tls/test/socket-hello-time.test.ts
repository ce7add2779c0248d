// A place is for who says hello: less time than for the handshake.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RawClient } from './support/raw-client.ts'
import { startTls } from './support/socket-server.ts'

const HELLO_MS = 100
const HANDSHAKE_MS = 400

test('hello: a client that says nothing has helloTimeoutMs and no more', async () => {
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

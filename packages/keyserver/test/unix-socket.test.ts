// The same protocol over a Unix socket: with certificates, beside TCP.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect as connectUnix } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect } from 'node:tls'
import { once } from 'node:events'
import { OPCODES } from '@latchkey/wire'
import { pki } from './support/pki.ts'
import { TestClient } from './support/test-client.ts'
import { startServer, type TestServer } from './support/test-server.ts'

const PING = { opcode: OPCODES.OpPing.code }

async function startOnSocket(t: TestContext): Promise<TestServer & { readonly path: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-socket-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const started = await startServer(t)
  const path = join(folder, 'keyless.sock')
  await started.server.listenOn(path)
  return { ...started, path }
}

test('clients of a Unix socket are served as those of TCP, and named in log lines', async (t) => {
  const { path, connect: connectTcp, log, server } = await startOnSocket(t)
  const { ca, client } = await pki()
  const identity = { ca: ca.certificatePem, cert: client.chainPem, key: client.privateKeyPem }
  const socket = connect({ path, ...identity, checkServerIdentity: () => undefined })
  t.after(() => socket.destroy())
  await once(socket, 'secureConnect')
  const local = new TestClient(socket)
  assert.equal((await local.ask(1, PING)).operation.opcode, OPCODES.OpPong.code)
  await log.line(/^connection unix:1: serving$/)
  const remote = await connectTcp()
  assert.equal((await remote.ask(1, PING)).operation.opcode, OPCODES.OpPong.code)
  assert.equal(server.connectionCount, 2)
  await server.close({ drainMs: 50 })
  assert.ok(!existsSync(path), 'the socket is gone with the server')
})

test('a stranger at the Unix socket is refused as at TCP', async (t) => {
  const { path, log } = await startOnSocket(t)
  const { ca } = await pki()
  const socket = connect({ path, ca: ca.certificatePem, checkServerIdentity: () => undefined })
  socket.on('error', () => {})
  await once(socket, 'close')
  await log.line(/^connection unix:1: TLS handshake failed: /)
  const plain = connectUnix(path)
  plain.on('error', () => {})
  plain.write('GET / HTTP/1.1\r\n\r\n')
  await once(plain, 'close')
  await log.line(/^connection unix:2: TLS handshake failed: /)
  const silent = connectUnix(path)
  await once(silent, 'connect')
  silent.end()
  await log.line(/^connection unix:3: closed by client before TLS handshake$/)
})

test('a path that is taken', async (t) => {
  const { path, connect: _ } = await startOnSocket(t)
  const { server } = await startServer(t)
  await assert.rejects(server.listenOn(path), { code: 'ERR_KEYSERVER_LISTEN', message: /EADDRINUSE/ })
})

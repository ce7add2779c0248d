// What a TlsSocket says of itself and passes on to the socket under it.
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { TlsSocket } from '@latchkey/tls'
import {
  connectTls,
  event,
  HOST,
  type ServerOptions,
  startTls,
  type TestServer,
  until,
} from './support/socket-server.ts'

interface Pair extends AsyncDisposable {
  readonly client: TLSSocket
  readonly socket: TlsSocket
  readonly raw: Socket
}

/** A connection, seen from both ends. */
async function pair(
  clientOptions?: Parameters<typeof connectTls>[1],
  serverOptions?: ServerOptions,
): Promise<Pair> {
  const sockets: TlsSocket[] = []
  const server: TestServer = await startTls((socket) => sockets.push(socket), serverOptions)
  const secured = event(server.server, 'secureConnection')
  const client = await connectTls(server.port, clientOptions)
  await secured
  return {
    client,
    socket: sockets[0] as TlsSocket,
    raw: server.raw[0] as Socket,
    [Symbol.asyncDispose]: async () => {
      client.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}

test('socket: what was negotiated', async () => {
  const ciphers = 'TLS_CHACHA20_POLY1305_SHA256'
  await using both = await pair(
    { ALPNProtocols: ['h2', 'http/1.1'], ciphers, ecdhCurve: 'P-256' },
    { groups: ['secp256r1'] },
  )
  const { client, socket } = both
  assert.equal(socket.encrypted, true)
  assert.equal(socket.authorized, false)
  assert.equal(socket.authorizationError, null)
  assert.equal(socket.alpnProtocol, 'http/1.1')
  assert.equal(socket.servername, 'www.example.com')
  assert.equal(socket.getProtocol(), client.getProtocol())
  assert.deepEqual(socket.getCipher(), { name: ciphers, standardName: ciphers, version: 'TLSv1.3' })
  assert.equal(client.getCipher().standardName, ciphers)
  assert.deepEqual(socket.getEphemeralKeyInfo(), { type: 'ECDH', name: 'secp256r1' })
  assert.equal((client.getEphemeralKeyInfo() as { name: string }).name, 'prime256v1')
  assert.deepEqual(socket.getPeerCertificate(), {})
  assert.equal(socket.getPeerX509Certificate(), undefined)
  assert.equal(socket.getSession(), undefined)
  assert.deepEqual(socket.getX509Certificate().raw, client.getPeerX509Certificate()?.raw)
  assert.equal(socket.getCertificate().fingerprint256, client.getPeerCertificate().fingerprint256)
  assert.equal(socket.connecting, false)
  assert.equal(socket.isSessionReused(), false)
  assert.equal(socket.session.signatureScheme, 'ecdsa_secp256r1_sha256')
  assert.equal(socket.session.usedHelloRetryRequest, false)
})

test('socket: neither name nor protocol is false, as in node:tls', async () => {
  await using both = await pair({ servername: '', checkServerIdentity: () => undefined })
  assert.equal(both.socket.servername, false)
  assert.equal(both.socket.alpnProtocol, false)
})

test('socket: addresses are those of the TCP connection, also when it is gone', async () => {
  await using both = await pair()
  const { client, socket } = both
  const { remoteAddress, remotePort, remoteFamily, localAddress, localPort } = socket
  assert.deepEqual(
    { remoteAddress, remotePort, remoteFamily, localAddress, localPort },
    {
      remoteAddress: HOST,
      remotePort: client.localPort,
      remoteFamily: 'IPv4',
      localAddress: HOST,
      localPort: client.remotePort,
    },
  )
  assert.deepEqual(socket.address(), { address: HOST, family: 'IPv4', port: localPort })
  const closed = event(socket, 'close')
  client.resume().end()
  socket.resume()
  await closed
  assert.deepEqual(socket.address(), {})
  assert.equal(socket.remoteAddress, HOST)
  assert.equal(socket.remotePort, remotePort)
})

test('socket: bytes on the wire are counted, records and handshake included', async () => {
  await using both = await pair()
  const { client, socket } = both
  // Tickets go with the first bytes.
  socket.write('first')
  await event(client, 'data')
  const [read, written] = [socket.bytesRead, socket.bytesWritten]
  assert.ok(read > 200 && written > 500)
  client.write('x'.repeat(100))
  await event(socket, 'data')
  assert.equal(socket.bytesRead - read, 100 + 5 + 1 + 16)
  socket.write('y'.repeat(100))
  await event(client, 'data')
  assert.equal(socket.bytesWritten - written, 100 + 5 + 1 + 16)
})

test('socket: setTimeout tells of silence and closes nothing', async () => {
  await using both = await pair()
  const { client, socket } = both
  let calls = 0
  socket.setTimeout(30, () => calls++)
  await event(socket, 'timeout')
  assert.equal(calls, 1)
  assert.equal(socket.destroyed, false)
  client.write('still here')
  const [data] = await event(socket, 'data')
  assert.equal(String(data), 'still here')
})

test('socket: each silence is told once, and 0 ends the timeout', async () => {
  await using both = await pair()
  const { socket } = both
  let timeouts = 0
  const forgotten = (): void => assert.fail('was taken back')
  socket.on('timeout', () => timeouts++)
  socket.setTimeout(20, forgotten).setTimeout(0, forgotten)
  await new Promise((resolve) => setTimeout(resolve, 60))
  assert.equal(timeouts, 0)
  socket.setTimeout(20).setTimeout(25)
  await event(socket, 'timeout')
  assert.equal(timeouts, 1)
})

test('socket: a listener on the TCP socket does not take the timeout away', async () => {
  await using both = await pair()
  both.raw.on('timeout', () => {})
  both.socket.setTimeout(20)
  await event(both.socket, 'timeout')
})

test('socket: setNoDelay, setKeepAlive, ref and unref reach the TCP socket and chain', async () => {
  await using both = await pair()
  const { socket, raw } = both
  const calls: unknown[][] = []
  raw.setNoDelay = (...values) => (calls.push(['setNoDelay', ...values]), raw)
  raw.setKeepAlive = (...values) => (calls.push(['setKeepAlive', ...values]), raw)
  const result = socket.setNoDelay().setNoDelay(false).setKeepAlive(true, 1000).setKeepAlive().unref()
  assert.equal(result, socket)
  assert.equal(hasRef(raw), false)
  socket.ref()
  assert.equal(hasRef(raw), true)
  assert.deepEqual(calls, [
    ['setNoDelay', true],
    ['setNoDelay', false],
    ['setKeepAlive', true, 1000],
    ['setKeepAlive', false, 0],
  ])
})

test('socket: there is no renegotiation, and who asks for it is told so', async () => {
  await using both = await pair()
  const { socket } = both
  socket.disableRenegotiation()
  assert.equal(socket.renegotiate({}), false)
  const error = await new Promise<Error & { code?: string }>((resolve) => {
    assert.equal(socket.renegotiate({}, resolve), false)
  })
  assert.equal(error.code, 'ERR_TLS_NO_RENEGOTIATION')
  assert.equal(socket.destroyed, false)
})

test('socket: resetAndDestroy resets the connection', async () => {
  await using both = await pair()
  const { client, socket } = both
  const failed = new Promise<NodeJS.ErrnoException>((resolve) => client.once('error', resolve))
  assert.equal(socket.resetAndDestroy(), socket)
  assert.equal((await failed).code, 'ECONNRESET')
  await until(() => socket.destroyed)
})

test('socket: destroySoon sends what was written, then closes', async () => {
  await using both = await pair()
  const { client, socket } = both
  const closed = event(socket, 'close')
  socket.write('first ')
  socket.write('last')
  socket.destroySoon()
  const received: Buffer[] = []
  client.on('data', (chunk: Buffer) => received.push(chunk))
  await event(client, 'end')
  await closed
  assert.equal(Buffer.concat(received).toString(), 'first last')
})

test('socket: destroySoon after the end only closes', async () => {
  await using both = await pair()
  const { socket } = both
  socket.end('bye')
  await event(socket, 'finish')
  assert.equal(socket.destroyed, false)
  socket.destroySoon()
  assert.equal(socket.destroyed, true)
})

/** Whether the process stays alive for a socket. */
function hasRef(socket: Socket): boolean {
  return (socket as Socket & { readonly _handle: { hasRef(): boolean } })._handle.hasRef()
}

// The test client against another implementation: a client that is wrong itself would prove nothing about a server.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { ascii, pieces, toHex } from './support/bytes.ts'
import { GROUP, SUITE } from './support/code-points.ts'
import { KEY_KINDS, type KeyKind, testCertificate } from './support/certificate.ts'
import { type ClientOptions, TestClient } from './support/test-client.ts'

/** A node:tls server on a port of its own that sends back what it gets. */
async function echoServer(options: { kind?: KeyKind; curves?: string }): Promise<Server & AsyncDisposable> {
  const { chainPem, privateKey } = testCertificate(options.kind ?? 'p256')
  const server = createServer({
    cert: chainPem,
    key: privateKey.export({ format: 'pem', type: 'pkcs8' }),
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['http/1.1'],
    ...(options.curves === undefined ? {} : { ecdhCurve: options.curves }),
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(server, {
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  })
}

/** Carries bytes between `client` and the server until `done`. */
class Link implements AsyncDisposable {
  readonly client: TestClient
  readonly #socket: Socket
  readonly #errors: unknown[] = []

  constructor(server: Server, options: ClientOptions, pieceBytes = 65_536) {
    this.client = new TestClient(options)
    const address = server.address() as { port: number }
    this.#socket = connect({ port: address.port, host: '127.0.0.1' })
    this.#socket.on('error', (error) => this.#errors.push(error))
    this.#socket.on('data', (chunk: Buffer) => {
      try {
        for (const piece of pieces(chunk, pieceBytes)) this.client.receive(piece)
        this.flush()
      } catch (error) {
        this.#errors.push(error)
      }
      this.#socket.emit('progress')
    })
  }

  flush(): void {
    const bytes = this.client.take()
    if (bytes.length > 0) this.#socket.write(bytes)
  }

  async until(done: () => boolean): Promise<void> {
    this.flush()
    while (!done()) {
      if (this.#errors.length > 0) throw this.#errors[0]
      await once(this.#socket, 'progress', { signal: AbortSignal.timeout(10_000) })
    }
  }

  async [Symbol.asyncDispose]() {
    if (this.#socket.destroyed) return
    this.#socket.destroy()
    await once(this.#socket, 'close')
  }
}

const HELLO = ascii('hello, echo')

async function handshakeAndEcho(
  server: Server,
  options: ClientOptions,
  pieceBytes?: number,
): Promise<TestClient> {
  await using link = new Link(server, options, pieceBytes)
  const { client } = link
  client.start()
  await link.until(() => client.state === 'connected')
  client.send(HELLO, { padding: 7 })
  await link.until(() => client.received.length === HELLO.length)
  assert.deepEqual(client.received, HELLO)
  client.alert(0, 1)
  await link.until(() => client.alerts.length > 0)
  assert.deepEqual(client.alerts, [{ level: 1, name: 'close_notify', encrypted: true }])
  return client
}

test('the test client and node:tls agree for every suite and group', async () => {
  await using server = await echoServer({})
  for (const suite of Object.values(SUITE)) {
    for (const group of [GROUP.x25519, GROUP.secp256r1]) {
      const client = await handshakeAndEcho(server, {
        shares: [group],
        hello: { suites: [suite], groups: [group], alpn: ['http/1.1'] },
      })
      assert.equal(client.suite?.code, suite)
      assert.equal(client.group, group)
      assert.equal(client.protocol, 'http/1.1')
    }
  }
})

test('the test client checks the certificate of every kind of key', async () => {
  for (const kind of KEY_KINDS) {
    await using server = await echoServer({ kind })
    const client = await handshakeAndEcho(server, {})
    assert.equal(toHex(client.chain[0] as Uint8Array), toHex(testCertificate(kind).der))
  }
})

test('the test client follows a HelloRetryRequest', async () => {
  await using server = await echoServer({ curves: 'P-256' })
  const client = await handshakeAndEcho(server, { shares: [GROUP.x25519] })
  assert.equal(client.retries, 1)
  assert.equal(client.group, GROUP.secp256r1)
})

test('the test client updates keys when it wants to and when it is asked to', async () => {
  await using server = await echoServer({})
  await using link = new Link(server, {})
  const { client } = link
  client.start()
  await link.until(() => client.state === 'connected')
  const data = new Uint8Array(40_000).fill(7)
  for (const [round, piece] of pieces(data, 1000).entries()) {
    client.updateKeys(round % 2 === 0 ? 1 : 0).send(piece)
    await link.until(() => client.received.length === (round + 1) * 1000)
  }
  assert.deepEqual(client.received, data)
  assert.equal(client.keyUpdates, 20)
})

test('the test client sees the alert of a server that refuses it', async () => {
  await using server = await echoServer({})
  await using link = new Link(server, { hello: { suites: [0x00ff] } })
  link.client.start()
  await link.until(() => link.client.alerts.length > 0)
  assert.deepEqual(link.client.alerts, [{ level: 2, name: 'handshake_failure', encrypted: false }])
})

test('the test client takes its input byte by byte', async () => {
  await using server = await echoServer({})
  const client = await handshakeAndEcho(server, {}, 1)
  assert.equal(client.pending, 0)
})

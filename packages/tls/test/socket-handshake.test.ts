// Connections that never become one: time limits, limits of number, clients that speak something else.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect, createServer as createNetServer } from 'node:net'
import { describe, test } from 'node:test'
import {
  createServerContext,
  createTlsServer,
  type TlsError,
  type TlsErrorCode,
  type TlsSocket,
} from '@latchkey/tls'
import { HandshakeQueue } from '../src/socket/handshake-queue.ts'
import { ServerTransport } from '../src/socket/server-transport.ts'
import { TimerWheel } from '../src/socket/timer-wheel.ts'
import { ascii } from './support/bytes.ts'
import type { Hello } from './support/client-hello.ts'
import { testCredential } from './support/harness.ts'
import { RawClient } from './support/raw-client.ts'
import {
  collect,
  connectTls,
  event,
  HOST,
  listen,
  localSigner,
  startHttps,
  startTls,
  type TestServer,
  tlsOptions,
  until,
} from './support/socket-server.ts'

const CLOSE_NOTIFY = 0
const UNKNOWN_CA = 48

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const codes = (failures: readonly TlsError[]): TlsErrorCode[] => failures.map(({ code }) => code)

// ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const LIMIT_MS = 500

describe('handshake: time', { concurrency: true }, () => {
  for (const [name, send] of [
    ['sends nothing', async () => {}],
    [
      'sends its hello byte by byte',
      async (client: RawClient) => {
        for (const byte of client.tls.start().take()) {
          if (client.hasEnded || client.isClosed) return
          client.socket.write(Uint8Array.of(byte))
          await sleep(5)
        }
      },
    ],
    ['stops after the server has spoken', async (client: RawClient) => void client.hello()],
  ] as const) {
    test(`a client that ${name} has handshakeTimeoutMs and no more`, async () => {
      await using server = await startTls(() => {}, { handshakeTimeoutMs: LIMIT_MS })
      const start = performance.now()
      using client = new RawClient(server.port, { autoFinish: false })
      const sending = send(client)
      await client.ended()
      const waited = performance.now() - start
      assert.ok(waited >= LIMIT_MS - 10 && waited < LIMIT_MS + 1000, `${waited} ms`)
      assert.deepEqual(codes(server.failures), ['ERR_TLS_HANDSHAKE_TIMEOUT'])
      assert.deepEqual(client.alerts, [])
      await sending
    })
  }

  test('a hello that comes byte by byte in time is a hello', async () => {
    await using server = await startTls((socket) => void socket.end('fast enough'))
    using client = new RawClient(server.port)
    client.socket.setNoDelay()
    for (const byte of client.tls.start().take()) {
      client.socket.write(Uint8Array.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await client.ended()
    assert.equal(Buffer.from(client.tls.received).toString(), 'fast enough')
  })

  test('a connection that is established has no time limit', async () => {
    await using server = await startTls((socket) => void socket.pipe(socket), {
      handshakeTimeoutMs: LIMIT_MS,
    })
    const client = await connectTls(server.port)
    await sleep(LIMIT_MS + 50)
    client.write('still here')
    const [data] = await event(client, 'data')
    assert.equal(String(data), 'still here')
  })
})

// ── number ──────────────────────────────────────────────────────────────────────────────────────────────────────────

test('handshake: beyond maxHandshakes connections are closed at once, until one is done', async () => {
  const addresses: (string | undefined)[] = []
  await using server = await startTls((socket) => socket.write('in'), { maxHandshakes: 2 })
  server.server.on('tlsClientError', (_error, socket: TlsSocket) => addresses.push(socket.remoteAddress))
  using first = new RawClient(server.port)
  using second = new RawClient(server.port)
  await until(() => server.raw.length === 2)
  using third = new RawClient(server.port).hello()
  await until(() => third.isClosed || third.hasEnded)
  assert.equal(third.socket.bytesRead, 0)
  assert.deepEqual(codes(server.failures), ['ERR_TLS_OVERLOADED'])
  assert.deepEqual(addresses, ['127.0.0.1'])

  // Established ones do not count, nor do those that left.
  await first.connected()
  second.socket.destroy()
  await until(() => server.failures.length === 2)
  using fourth = await new RawClient(server.port).connected()
  using fifth = await new RawClient(server.port).connected()
  await until(() => fourth.tls.received.length > 0 && fifth.tls.received.length > 0)
  assert.deepEqual(codes(server.failures), ['ERR_TLS_OVERLOADED', 'ERR_TLS_TRANSPORT'])
})

test('handshake: each way to fail gives its place back', async () => {
  await using server = await startTls(() => {}, { maxHandshakes: 1, handshakeTimeoutMs: 100 })
  const failing: ((client: RawClient) => void)[] = [
    ({ socket }) => socket.write('GET / HTTP/1.1\r\n\r\n'),
    ({ socket }) => socket.end(),
    ({ socket }) => socket.resetAndDestroy(),
    () => {}, // too slow
  ]
  for (const [index, fail] of failing.entries()) {
    using client = new RawClient(server.port)
    await event(client.socket, 'connect')
    await until(() => server.raw.length === index + 1)
    fail(client)
    await until(() => server.failures.length === index + 1)
  }
  await connectTls(server.port)
  assert.deepEqual(codes(server.failures), [
    'ERR_TLS_HTTP_REQUEST',
    'ERR_TLS_TRANSPORT',
    'ERR_TLS_TRANSPORT',
    'ERR_TLS_HANDSHAKE_TIMEOUT',
  ])
})

// ── what else clients say ───────────────────────────────────────────────────────────────────────────────────────────

interface Row {
  readonly name: string
  readonly code: TlsErrorCode
  /** Undefined: the client is told nothing. */
  readonly alert?: string
  readonly bytes?: Uint8Array
  readonly hello?: Partial<Hello>
}

const ROWS: readonly Row[] = [
  { name: 'plain HTTP', code: 'ERR_TLS_HTTP_REQUEST', bytes: ascii('GET / HTTP/1.1\r\nHost: a\r\n\r\n') },
  { name: 'SSH', code: 'ERR_TLS_NOT_TLS', bytes: ascii('SSH-2.0-client\r\n') },
  {
    name: 'SSL 2.0',
    code: 'ERR_TLS_PROTOCOL_VERSION',
    alert: 'protocol_version',
    bytes: Uint8Array.of(0x80, 0x2e, 1, 0, 2),
  },
  {
    name: 'TLS 1.2',
    code: 'ERR_TLS_PROTOCOL_VERSION',
    alert: 'protocol_version',
    hello: { versions: undefined },
  },
  {
    name: 'another protocol',
    code: 'ERR_TLS_NO_APPLICATION_PROTOCOL',
    alert: 'no_application_protocol',
    hello: { alpn: ['h3'] },
  },
  {
    name: 'no suite of ours',
    code: 'ERR_TLS_HANDSHAKE_FAILURE',
    alert: 'handshake_failure',
    hello: { suites: [0x1306] },
  },
  {
    name: 'a record that is too long',
    code: 'ERR_TLS_RECORD_OVERFLOW',
    alert: 'record_overflow',
    bytes: Uint8Array.of(22, 3, 1, 0xff, 0xff),
  },
]

for (const { name, code, alert, bytes, hello } of ROWS) {
  test(`handshake: ${name}: ${alert ?? 'nothing'} for the client, ${code} for the operator`, async () => {
    await using server = await startTls(() => assert.fail('no connection'), { minVersion: 'TLSv1.3' })
    using client = new RawClient(server.port, hello === undefined ? {} : { hello })
    if (bytes === undefined) client.hello()
    else client.socket.write(bytes)
    await client.ended()
    assert.deepEqual(client.alerts, alert === undefined ? [] : [alert])
    assert.equal(client.socket.bytesRead > 0, alert !== undefined)
    assert.deepEqual(codes(server.failures), [code])
    assert.equal(server.failures[0]?.alert, alert)
  })
}

test('handshake: a client that does not trust the certificate says so', async () => {
  await using server = await startTls(() => assert.fail('no connection'))
  using client = new RawClient(server.port, { autoFinish: false }).hello()
  await until(() => client.tls.state === 'finished')
  client.tls.alert(UNKNOWN_CA)
  await client.flush().ended()
  assert.deepEqual(codes(server.failures), ['ERR_TLS_PEER_ALERT'])
  assert.equal(server.failures[0]?.detail, 'unknown_ca')
  assert.deepEqual(client.alerts, [])
})

test('handshake: the operator learns which name was asked for', async () => {
  const names: string[] = []
  const options = tlsOptions()
  const credentials = [testCredential('p256')]
  await using server = await listen(
    createTlsServer({
      ...options,
      certificates: { select: ({ serverName }) => (serverName === 'a.test' ? credentials : undefined) },
    }),
  )
  server.server.on('tlsClientError', (_error, _socket, name: string) => names.push(name))
  using client = new RawClient(server.port, { hello: { serverName: 'b.test' } }).hello()
  await client.ended()
  assert.deepEqual(client.alerts, ['unrecognized_name'])
  assert.deepEqual(names, ['b.test'])
  using silent = new RawClient(server.port)
  silent.socket.write('not TLS')
  await silent.ended()
  assert.deepEqual(names, ['b.test', ''])
})

test('handshake: a listener of tlsClientError may answer on the TCP socket', async () => {
  await using server = await startTls(() => {})
  server.server.on('tlsClientError', (_error, socket: TlsSocket) =>
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\nThis port speaks TLS.'),
  )
  const client = new RawClient(server.port)
  client.socket.write('GET / HTTP/1.1\r\n\r\n')
  client.socket.removeAllListeners('data')
  assert.match((await collect(client.socket)).toString(), /This port speaks TLS/)
  client.socket.destroy()
})

for (const [kind, start, answer] of [
  ['an HTTP server', () => startHttps(() => {}), /^HTTP\/1\.1 400 Bad Request\r\n.*HTTPS/s],
  [
    'an HTTP server with answerPlainHttp: false',
    () => startHttps(() => {}, { answerPlainHttp: false }),
    /^$/,
  ],
  ['a TLS server', () => startTls(() => {}), /^$/],
  [
    'a TLS server with answerPlainHttp',
    () => startTls(() => {}, { answerPlainHttp: true }),
    /^HTTP\/1\.1 400 /,
  ],
] as const) {
  test(`handshake: what a plain HTTP request to ${kind} is answered`, async () => {
    await using server = await start()
    const client = connect({ port: server.port, host: HOST })
    client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello')
    assert.match((await collect(client)).toString(), answer)
    assert.deepEqual(codes(server.failures), ['ERR_TLS_HTTP_REQUEST'])
    client.destroy()
  })
}

test('handshake: failures that nobody listens for are nothing', async () => {
  const server = createTlsServer(tlsOptions(), (socket) => socket.end('fine'))
  await using running = await listen(server)
  server.removeAllListeners('tlsClientError')
  using bad = new RawClient(running.port)
  bad.socket.write('not TLS at all')
  await bad.ended()
  using reset = new RawClient(running.port).hello()
  await until(() => reset.tls.state !== 'start')
  reset.socket.resetAndDestroy()
  const good = await connectTls(running.port)
  assert.equal((await collect(good)).toString(), 'fine')
})

test('handshake: failing connections do not disturb one that works', async () => {
  await using server = await startTls((socket) => void socket.pipe(socket))
  const good = await connectTls(server.port)
  let echoed = ''
  good.setEncoding('latin1').on('data', (text: string) => {
    echoed += text
  })
  for (const { bytes, hello } of ROWS) {
    using bad = new RawClient(server.port, hello === undefined ? {} : { hello })
    if (bytes === undefined) bad.hello()
    else bad.socket.write(bytes)
    good.write('*')
    await bad.ended()
  }
  await until(() => echoed.length === ROWS.length)
  assert.equal(server.failures.length, ROWS.length)
})

// ── taking turns ────────────────────────────────────────────────────────────────────────────────────────────────────

/** A queue in which it is nobody's turn until the test says so. */
class HeldQueue extends HandshakeQueue {
  isHeld = false
  readonly #jobs: (() => void)[] = []

  override get length(): number {
    return this.#jobs.length
  }

  override run(job: () => void): void {
    if (this.isHeld) this.#jobs.push(job)
    else job()
  }

  release(): void {
    this.isHeld = false
    for (const job of this.#jobs.splice(0)) job()
  }
}

interface Queued extends AsyncDisposable {
  readonly running: TestServer
  readonly queue: HeldQueue
  readonly client: RawClient
  readonly sockets: TlsSocket[]
  readonly failures: TlsError[]
}

/** A client that has everything but its Finished, at a server whose queue is held from now on. */
async function queued(): Promise<Queued> {
  const queue = new HeldQueue()
  const sockets: TlsSocket[] = []
  const failures: TlsError[] = []
  const context = createServerContext({ certificates: tlsOptions().certificates })
  const options = {
    context,
    signer: localSigner,
    handshakeTimeoutMs: 5000,
    signerTimeoutMs: 5000,
    requireCloseNotify: false,
    allowHalfOpen: false,
    releaseWritten: false,
    answerPlainHttp: false,
    timers: new TimerWheel(),
    queue,
  }
  const events = {
    secured: (socket: TlsSocket) => void sockets.push(socket),
    failed: (error: TlsError) => void failures.push(error),
    settled: () => {},
  }
  const server = createNetServer({ allowHalfOpen: true }, (socket) => {
    ServerTransport.accept(socket, options, events)
  })
  const running = await listen(server)
  const client = new RawClient(running.port, { autoFinish: false }).hello()
  await until(() => client.tls.state === 'finished')
  queue.isHeld = true
  client.tls.finish()
  return {
    running,
    queue,
    client,
    sockets,
    failures,
    [Symbol.asyncDispose]: async () => {
      client.socket.destroy()
      await running[Symbol.asyncDispose]()
    },
  }
}

test('handshake: what a client sends and its FIN keep their order while others have their turn', async () => {
  await using all = await queued()
  const { client, queue, sockets, failures } = all
  client.send(ascii('all at once')).socket.end()
  await until(() => queue.length === 1)
  await sleep(30) // FIN is there now
  assert.deepEqual(failures, [])
  queue.release()
  assert.equal(sockets.length, 1)
  assert.equal((await collect(sockets[0] as TlsSocket)).toString(), 'all at once')
  assert.deepEqual(failures, [])
})

test('handshake: a client that waits for its turn cannot fill our memory meanwhile', async () => {
  await using all = await queued()
  const { client, queue, running, sockets } = all
  const data = randomBytes(4_000_000)
  for (let at = 0; at < data.length; at += 16_000) client.tls.send(data.subarray(at, at + 16_000))
  client.flush()
  await until(() => queue.length === 1)
  await sleep(50)
  assert.equal(queue.length, 1)
  const read = running.raw[0]?.bytesRead ?? 0
  assert.ok(read < 300_000, `${read} bytes read`)
  queue.release()
  let received = 0
  sockets[0]?.on('data', (chunk: Buffer) => {
    received += chunk.length
  })
  await until(() => received === data.length)
})

test('handshake: a connection that had to wait notices the end of its client, also when nobody reads', async () => {
  await using all = await queued()
  const { client, queue, sockets } = all
  client.flush()
  await until(() => queue.length === 1)
  queue.release()
  client.tls.alert(CLOSE_NOTIFY, 1)
  client.flush().socket.end()
  await until(() => sockets[0]?.closed === true)
})

test('handshake: connections that are gone before their turn give their places back', async () => {
  const places = 70
  await using server = await startTls(() => {}, { maxHandshakes: places })
  await using plain = await listen(createNetServer({ pauseOnConnect: true }))
  for (let round = 1; round <= 2; round++) {
    const gone = Array.from({ length: places }, () => new RawClient(plain.port))
    try {
      await until(() => plain.raw.length === round * places)
      // More in one turn than a turn has room for.
      for (const socket of plain.raw.slice(-places)) {
        server.server.emit('connection', socket)
        socket.destroy()
      }
      await until(() => server.failures.length === round * places)
    } finally {
      for (const { socket } of gone) socket.destroy()
    }
  }
  assert.deepEqual(new Set(codes(server.failures)), new Set(['ERR_TLS_TRANSPORT']))
})

test('handshake: a burst of clients is served although a turn has room for few', async () => {
  await using server = await startTls((socket) => void socket.end('served'))
  const clients = Array.from({ length: 80 }, () => new RawClient(server.port).hello())
  try {
    await until(() => clients.every(({ hasEnded }) => hasEnded))
    for (const { tls } of clients) assert.equal(Buffer.from(tls.received).toString(), 'served')
  } finally {
    for (const { socket } of clients) socket.destroy()
  }
})

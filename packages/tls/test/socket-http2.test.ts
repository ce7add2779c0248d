// createHttp2Server: HTTP/2 through Node's http2 and HTTP/1.1 beside it, with Node's own clients and curl.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  type Http2Server,
  type Http2ServerRequest,
  type IncomingHttpHeaders,
} from 'node:http2'
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { createHttp2Server, type Http2Options, type Http2RequestListener } from '@latchkey/tls'
import { testCertificate } from './support/certificate.ts'
import { isInstalled, runCommand } from './support/command.ts'
import {
  collect,
  connectTls,
  dial,
  event,
  HOST,
  listen,
  type TestServer,
  tlsOptions,
  until,
} from './support/socket-server.ts'

const HTTP1 = { allowHTTP1: true }

function start(
  listener: Http2RequestListener,
  options: Partial<Http2Options> = {},
): Promise<TestServer<Http2Server>> {
  return listen(createHttp2Server({ ...tlsOptions(), ...options }, listener))
}

/** A client session whose handshake is done. */
async function session(port: number): Promise<ClientHttp2Session> {
  const client = connectHttp2('https://www.example.com', {
    createConnection: () => dial(port, { ALPNProtocols: ['h2'] }),
  })
  client.on('error', () => {})
  await event(client, 'connect')
  return client
}

async function get(
  client: ClientHttp2Session,
  path: string,
  body?: Uint8Array,
): Promise<{ status: number | undefined; body: Buffer }> {
  const stream = client.request({ ':path': path, ':method': body === undefined ? 'GET' : 'POST' })
  stream.on('error', () => {})
  stream.end(body)
  const [headers] = (await event(stream, 'response')) as [IncomingHttpHeaders & { ':status'?: number }]
  return { status: headers[':status'], body: await collect(stream) }
}

async function getHttp1(port: number, options: RequestOptions = {}): Promise<string> {
  const asked = httpsRequest({
    port,
    host: HOST,
    servername: 'www.example.com',
    ca: testCertificate('p256').chainPem,
    allowPartialTrustChain: true,
    agent: false,
    ...options,
  })
  const [response] = (await event(asked.end(), 'response')) as [NodeJS.ReadableStream]
  return (await collect(response)).toString()
}

/** What frameworks ask a request's socket. */
function told({ httpVersion, socket }: Http2ServerRequest): object {
  const asked = socket as TLSSocket
  return {
    httpVersion,
    encrypted: asked.encrypted,
    alpnProtocol: asked.alpnProtocol,
    servername: (asked as TLSSocket & { servername: string }).servername,
    remoteAddress: asked.remoteAddress,
    protocol: asked.getProtocol(),
    cipher: asked.getCipher().standardName,
    peer: asked.getPeerCertificate(),
    isResumed: asked.isSessionReused(),
  }
}

const EXPECTED = {
  encrypted: true,
  servername: 'www.example.com',
  remoteAddress: HOST,
  protocol: 'TLSv1.3',
  cipher: 'TLS_AES_128_GCM_SHA256',
  peer: {},
  isResumed: false,
}

test('http2: requests of a session are answered, and know how they came', async () => {
  await using server = await start((request, response) => response.end(JSON.stringify(told(request))))
  const sessions: object[] = []
  server.server.on('session', ({ encrypted, alpnProtocol, originSet }) => {
    sessions.push({ encrypted, alpnProtocol, origins: originSet?.map((origin) => new URL(origin).hostname) })
  })
  const client = await session(server.port)
  const answers = await Promise.all(['/a', '/b', '/c'].map((path) => get(client, path)))
  for (const { status, body } of answers) {
    assert.equal(status, 200)
    assert.deepEqual(JSON.parse(body.toString()), { ...EXPECTED, httpVersion: '2.0', alpnProtocol: 'h2' })
  }
  assert.deepEqual(sessions, [{ encrypted: true, alpnProtocol: 'h2', origins: ['www.example.com'] }])
  assert.equal(server.raw.length, 1)
  client.close()
  await event(client, 'close')
})

test('http2: clients with HTTP/1.1, and those without ALPN, come to the same listener', async () => {
  await using server = await start((request, response) => response.end(JSON.stringify(told(request))), HTTP1)
  const expected = { ...EXPECTED, httpVersion: '1.1' }
  for (const [ALPNProtocols, alpnProtocol] of [
    [['http/1.1'], 'http/1.1'],
    [[], false],
  ] as const) {
    const text = await getHttp1(server.port, { ALPNProtocols } as RequestOptions)
    assert.deepEqual(JSON.parse(text), { ...expected, alpnProtocol })
  }
  const client = await session(server.port)
  assert.match((await get(client, '/')).body.toString(), /"httpVersion":"2.0"/)
  client.destroy()
})

test('http2: without allowHTTP1 a client that has only HTTP/1.1 is refused by ALPN', async () => {
  await using server = await start((_request, response) => response.end())
  const client = dial(server.port, { ALPNProtocols: ['http/1.1'] })
  await until(() => client.destroyed && server.failures.length === 1)
  assert.equal(server.failures[0]?.code, 'ERR_TLS_NO_APPLICATION_PROTOCOL')
  const silent = await connectTls(server.port, { ALPNProtocols: [] })
  silent.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  assert.match((await collect(silent)).toString(), /^HTTP\/1\.0 403 /)
})

test('http2: 3 MiB each way, many streams at a time, byte for byte', async () => {
  await using server = await start((request, response) => void request.pipe(response))
  const client = await session(server.port)
  const bodies = Array.from({ length: 6 }, () => randomBytes(1 << 19))
  const answers = await Promise.all(bodies.map((body) => get(client, '/', body)))
  for (const [index, { body }] of answers.entries()) assert.ok(body.equals(bodies[index] as Buffer))
  client.destroy()
})

test('http2: a client that does not read stops the server, and gets every byte when it does', async () => {
  const chunk = randomBytes(1 << 16)
  const LIMIT = 256
  let written = 0
  await using server = await start((_request, response) => {
    const write = (): void => {
      while (written < LIMIT) {
        written++
        if (!response.write(chunk)) return void response.once('drain', write)
      }
      response.end()
    }
    write()
  })
  const client = await session(server.port)
  const stream = client.request({ ':path': '/' })
  await event(stream, 'response')
  let before = -1
  await until(() => {
    const isStill = before === written
    before = written
    return isStill
  })
  assert.ok(written < LIMIT, `${written} chunks`)
  assert.equal((await collect(stream)).length, LIMIT * chunk.length)
  client.destroy()
})

test('http2: a client that resets, and one that talks nonsense, leave the server working', async () => {
  await using server = await start((_request, response) => void response.write('begun'))
  const leaving = await session(server.port)
  const stream = leaving.request({ ':path': '/' }).on('error', () => {})
  await event(stream, 'data')
  server.raw[0]?.resetAndDestroy()
  await until(() => leaving.destroyed)
  const nonsense = await connectTls(server.port, { ALPNProtocols: ['h2'] })
  nonsense.write('this is not the preface of HTTP/2, nor any other\r\n\r\n')
  await collect(nonsense)
  const client = await session(server.port)
  const [data] = await event(client.request({ ':path': '/' }), 'data')
  assert.equal(String(data), 'begun')
  client.destroy()
})

test('http2: an upgrade of HTTP/1.1 reaches the server’s listener', async () => {
  await using server = await start((_request, response) => response.end('no upgrade'), HTTP1)
  server.server.on('upgrade', (_request, socket: TLSSocket, head: Buffer) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    socket.write(head)
    socket.pipe(socket)
  })
  const client = await connectTls(server.port, { ALPNProtocols: ['http/1.1'] })
  client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello')
  let text = ''
  client.on('data', (data: Buffer) => {
    text += data.toString()
  })
  await until(() => text.endsWith('hello'))
  client.destroy()
})

test('http2: close() ends idle connections of both versions', async () => {
  await using server = await start((_request, response) => response.end('x'), HTTP1)
  const client = await session(server.port)
  await get(client, '/')
  const agent = new Agent({ keepAlive: true })
  assert.equal(await getHttp1(server.port, { agent }), 'x')
  const closed = event(server.server, 'close')
  server.server.close()
  await closed
  await until(() => client.destroyed)
  agent.destroy()
})

test('http2: headersTimeout of HTTP/1.1 holds behind it', async () => {
  const limits = { headersTimeout: 100, requestTimeout: 100, connectionsCheckingInterval: 30 }
  await using server = await start((_request, response) => response.end('x'), {
    ...HTTP1,
    ...limits,
  })
  const client = await connectTls(server.port, { ALPNProtocols: ['http/1.1'] })
  client.write('GET / HTTP/1.1\r\nHost: a\r\n')
  assert.match((await collect(client)).toString(), /HTTP\/1\.1 408 /)
})

const noCurl = isInstalled('curl') ? false : 'curl is not installed'
for (const [flag, version] of [
  ['--http2', '2'],
  ['--http1.1', '1.1'],
] as const) {
  test(`http2: curl ${flag}`, { skip: noCurl }, async () => {
    await using server = await start(({ httpVersion }, response) => response.end(httpVersion), HTTP1)
    const place = ['--resolve', `www.example.com:${server.port}:${HOST}`, '--insecure']
    const url = `https://www.example.com:${server.port}/`
    const { code, output } = await runCommand('curl', [
      '-sS',
      flag,
      ...place,
      '-w',
      ' over %{http_version}',
      url,
    ])
    assert.equal(code, 0, output)
    assert.equal(output, `${version === '2' ? '2.0' : version} over ${version}`)
  })
}

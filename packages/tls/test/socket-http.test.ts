// createServer is an http.Server: what people do with node:https works, with its own client and with a raw one.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { ClientRequest, IncomingMessage, RequestListener } from 'node:http'
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https'
import { test } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import { testCertificate } from './support/certificate.ts'
import { collect, connectTls, event, HOST, startHttps, until } from './support/socket-server.ts'

interface Answer {
  readonly response: IncomingMessage
  readonly body: Buffer
}

const MEBIBYTE = 1 << 20

type AskOptions = RequestOptions & Pick<ConnectionOptions, 'ALPNProtocols'>

function ask(port: number, options: AskOptions = {}): ClientRequest {
  return httpsRequest({
    port,
    host: HOST,
    servername: 'example.com',
    ca: testCertificate('p256').chainPem,
    allowPartialTrustChain: true,
    agent: false,
    ...options,
  })
}

async function get(port: number, options?: AskOptions): Promise<Answer> {
  const request = ask(port, options)
  request.end()
  const [response] = (await event(request, 'response')) as [IncomingMessage]
  return { response, body: await collect(response) }
}

const echo: RequestListener = (request, response) => void request.pipe(response)

test('http: a request is answered, and knows how it came', async () => {
  await using server = await startHttps(({ method, url, socket }, response) => {
    const { encrypted, alpnProtocol, servername } = socket as typeof socket & Record<string, unknown>
    response.setHeader('x-here', 'yes')
    response.end(JSON.stringify({ method, url, encrypted, alpnProtocol, servername }))
  })
  const { response, body } = await get(server.port, { path: '/page?x=1', ALPNProtocols: ['http/1.1'] })
  assert.equal(response.statusCode, 200)
  assert.equal(response.headers['x-here'], 'yes')
  assert.deepEqual(JSON.parse(body.toString()), {
    method: 'GET',
    url: '/page?x=1',
    encrypted: true,
    alpnProtocol: 'http/1.1',
    servername: 'example.com',
  })
})

test('http: a connection that is kept alive serves one request after another', async () => {
  await using server = await startHttps((request, response) => response.end(request.url))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    for (const path of ['/one', '/two', '/three']) {
      const { body } = await get(server.port, { agent, path })
      assert.equal(body.toString(), path)
    }
    assert.equal(server.raw.length, 1)
  } finally {
    agent.destroy()
  }
})

test('http: pipelined requests are answered in order', async () => {
  await using server = await startHttps(({ url }, response) => {
    // The first takes longest.
    setTimeout(() => response.end(`<${url}>`), url === '/0' ? 30 : 0)
  })
  const client = await connectTls(server.port)
  const lines = ['/0', '/1', '/2'].map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
  client.write(`${lines.join('')}GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
  const text = (await collect(client)).toString()
  assert.deepEqual(text.match(/<[^>]+>/g), ['</0>', '</1>', '</2>', '</3>'])
})

test('http: 6 MiB in chunks of every size come back byte for byte', async () => {
  await using server = await startHttps(echo)
  const sizes = [1, 17, 1000, 4095, 4096, 16_383, 16_384, 16_385, 65_537, MEBIBYTE]
  const chunks: Buffer[] = []
  for (let total = 0, index = 0; total < 6 * MEBIBYTE; index++) {
    const chunk = randomBytes(sizes[index % sizes.length] as number)
    chunks.push(chunk)
    total += chunk.length
  }
  const request = ask(server.port, { method: 'POST' })
  const answered = event(request, 'response')
  for (const chunk of chunks) if (!request.write(chunk)) await event(request, 'drain')
  request.end()
  const [response] = (await answered) as [IncomingMessage]
  const body = await collect(response)
  assert.equal(response.headers['transfer-encoding'], 'chunked')
  const sent = Buffer.concat(chunks)
  assert.equal(body.length, sent.length)
  assert.equal(sha256(body), sha256(sent))
})

test('http: a client that has not yet read the last bytes of a closing response gets them', async () => {
  const chunk = randomBytes(16_384)
  let sent = 0
  await using server = await startHttps((_request, response) => {
    response.setHeader('connection', 'close')
    // Until the kernel takes no more: the rest waits in this process when the response ends.
    const write = (): void => {
      if (server.raw[0]?.writableLength !== 0) return void response.end()
      response.write(chunk)
      sent += chunk.length
      setImmediate(write)
    }
    write()
  })
  const [response] = (await event(ask(server.port).end(), 'response')) as [IncomingMessage]
  await until(() => server.raw[0]?.writableEnded === true)
  const body = await collect(response)
  assert.equal(body.length, sent)
  assert.ok(response.complete)
})

test('http: 100-continue is sent before the body', async () => {
  await using server = await startHttps(echo)
  const request = ask(server.port, { method: 'PUT', headers: { expect: '100-continue' } })
  request.flushHeaders()
  await event(request, 'continue')
  request.end('the body')
  const [response] = (await event(request, 'response')) as [IncomingMessage]
  assert.equal((await collect(response)).toString(), 'the body')
})

test('http: an upgrade hands over the stream', async () => {
  await using server = await startHttps((_request, response) => response.end('no upgrade'))
  server.server.on('upgrade', (_request, socket, head) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    socket.write(head)
    socket.pipe(socket)
  })
  const request = ask(server.port, { headers: { connection: 'Upgrade', upgrade: 'echo' } })
  request.end()
  const [, socket] = (await event(request, 'upgrade')) as [IncomingMessage, NodeJS.ReadWriteStream]
  socket.write('over the upgraded stream')
  const [echoed] = await event(socket, 'data')
  assert.equal(String(echoed), 'over the upgraded stream')
  socket.end()
  await event(socket, 'close')
})

test('http: requestTimeout answers 408 and closes', async () => {
  const options = { requestTimeout: 50, connectionsCheckingInterval: 20 }
  await using server = await startHttps((request) => void request.resume(), options)
  const client = await connectTls(server.port)
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf')
  assert.match((await collect(client)).toString(), /HTTP\/1\.1 408 /)
})

test('http: what is no HTTP is answered 400 and leaves the server working', async () => {
  await using server = await startHttps((_request, response) => response.end('fine'))
  const client = await connectTls(server.port)
  client.write('\x00\x01 nothing anybody speaks\r\n\r\n')
  assert.match((await collect(client)).toString(), /^HTTP\/1\.1 400 /)
  assert.equal((await get(server.port)).body.toString(), 'fine')
})

test('http: close() closes idle connections and lets a request finish', async () => {
  const answers: (() => void)[] = []
  await using server = await startHttps(({ url }, response) => {
    if (url === '/now') response.end('now')
    else answers.push(() => response.end('late'))
  })
  const idle = await connectTls(server.port)
  idle.write('GET /now HTTP/1.1\r\nHost: a\r\n\r\n')
  await event(idle, 'data')
  const pending = get(server.port)
  await until(() => answers.length === 1)
  const closed = event(server.server, 'close')
  server.server.close()
  await event(idle, 'close')
  answers[0]?.()
  assert.equal((await pending).body.toString(), 'late')
  await closed
})

test('http: closeAllConnections breaks off requests that are under way', async () => {
  await using server = await startHttps((_request, response) => void response.write('begun'))
  const [response] = (await event(ask(server.port).end(), 'response')) as [IncomingMessage]
  let error: NodeJS.ErrnoException | undefined
  response.on('error', (cause) => {
    error = cause
  })
  await event(response, 'data')
  const closed = event(server.server, 'close')
  server.server.close()
  server.server.closeAllConnections()
  await until(() => response.destroyed)
  assert.equal(error?.code, 'ECONNRESET')
  assert.equal(response.complete, false)
  await closed
})

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

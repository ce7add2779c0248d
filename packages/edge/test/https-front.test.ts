// The whole HTTPS side with a local signer: Node's own TLS as the client.
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { type AddressInfo, connect as tcpConnect } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as tlsConnect, type TLSSocket } from 'node:tls'
import { createLogger, type LogRecord } from '@latchkey/core'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { createCertificateStore, createLocalSigner, loadCredential, type Signer } from '@latchkey/tls'
import { HostTable } from '../src/host-table.ts'
import { HttpsFront } from '../src/https-front.ts'
import { DEFAULT_LIMITS, type EdgeLimits } from '../src/limits.ts'
import { Origin } from '../src/proxy/origin.ts'
import type { Site } from '../src/proxy/proxy.ts'

const ca = await createThrowawayCa()
const first = await ca.issue({ dnsNames: ['one.test', '*.one.test'] })
const second = await ca.issue({ dnsNames: ['two.test'] })

interface TestFront extends AsyncDisposable {
  readonly front: HttpsFront
  readonly port: number
  readonly log: LogRecord[]
}

type Listener = (request: IncomingMessage, response: ServerResponse) => unknown

async function startFront(
  listener: Listener,
  limits: Partial<EdgeLimits> = {},
  signer?: Signer,
): Promise<TestFront> {
  const originServer: Server = createServer((request, response) => void listener(request, response))
  originServer.listen(0, '127.0.0.1')
  await once(originServer, 'listening')
  const allLimits = { ...DEFAULT_LIMITS, ...limits }
  const url = new URL(`http://127.0.0.1:${(originServer.address() as AddressInfo).port}`)
  const origin = new Origin(url, allLimits)
  const sites = new HostTable<Site>()
    .add(['one.test', '*.one.test'], { origin })
    .add(['two.test'], { origin })
  const certificates = createCertificateStore({
    hosts: [
      { serverNames: ['one.test', '*.one.test'], credentials: [loadCredential({ chain: first.chainPem })] },
      { serverNames: ['two.test'], credentials: [loadCredential({ chain: second.chainPem })] },
    ],
  })
  const keys = [first, second].map(({ privateKeyPem }) => {
    const privateKey = createPrivateKey(privateKeyPem)
    return { privateKey, publicKey: createPublicKey(privateKey) }
  })
  const log: LogRecord[] = []
  const front = new HttpsFront({
    certificates,
    signer: signer ?? createLocalSigner(keys),
    sites: () => sites,
    limits: allLimits,
    logger: createLogger((record) => log.push(record), 'debug'),
  })
  const { port } = await front.listen({ host: '127.0.0.1', port: 0 })
  return {
    front,
    port,
    log,
    [Symbol.asyncDispose]: async () => {
      await front.close({ drainMs: 0 })
      origin.close()
      originServer.closeAllConnections()
      await new Promise((resolve) => originServer.close(resolve))
    },
  }
}

async function get(port: number, options: RequestOptions = {}): Promise<IncomingMessage & { text: string }> {
  const request = httpsRequest({
    host: '127.0.0.1',
    port,
    servername: 'one.test',
    ca: ca.certificatePem,
    agent: false,
    ...options,
    headers: options.headers ?? { host: 'one.test' },
  })
  request.end()
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let text = ''
  for await (const part of response.setEncoding('utf8')) text += part
  return Object.assign(response, { text })
}

async function secureSocket(port: number, servername = 'one.test'): Promise<TLSSocket> {
  const socket = tlsConnect({ host: '127.0.0.1', port, servername, ca: ca.certificatePem })
  await once(socket, 'secureConnect')
  return socket
}

test('front: a page comes over TLS 1.3, and the origin learns so', async () => {
  await using edge = await startFront((request, response) => response.end(String(request.headers.forwarded)))
  const response = await get(edge.port)
  assert.equal(response.text, 'for=127.0.0.1;host="one.test";proto=https')
})

for (const [servername, host, status] of [
  ['one.test', 'one.test', 200],
  ['one.test', 'ONE.test:8443', 200],
  ['one.test', 'www.one.test', 200],
  ['one.test', 'two.test', 421],
  ['two.test', 'one.test', 421],
  ['one.test', 'three.test', 421],
] as const) {
  test(`front: a connection for ${servername} asked for ${host} answers ${status}`, async () => {
    await using edge = await startFront((_request, response) => response.end('ok'))
    const response = await get(edge.port, { servername, headers: { host } })
    assert.equal(response.statusCode, status)
  })
}

test('front: a client that sends no requests, or half of one, is dropped', async () => {
  await using edge = await startFront((_request, response) => response.end('ok'), { headersTimeoutMs: 100 })
  const silent = await secureSocket(edge.port)
  const slow = await secureSocket(edge.port)
  slow.write('GET / HTTP/1.1\r\nHost: one.test\r\n')
  let received = ''
  slow.setEncoding('latin1').on('data', (part: string) => {
    received += part
  })
  await Promise.all([once(silent.resume(), 'close'), once(slow, 'close')])
  assert.match(received, /^HTTP\/1.1 408 /)
})

test('front: an idle connection is closed after keepAliveMs', async () => {
  await using edge = await startFront((_request, response) => response.end('ok'), { keepAliveMs: 50 })
  const socket = await secureSocket(edge.port)
  socket.write('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')
  const [part] = (await once(socket, 'data')) as [Buffer]
  assert.match(part.toString(), /^HTTP\/1.1 200/)
  await once(socket.resume(), 'close')
})

test('front: a response that breaks off ends without close_notify', async () => {
  await using edge = await startFront((request, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('abc', () => request.socket.destroy())
  })
  await assert.rejects(get(edge.port), { code: 'ECONNRESET' })
})

test('front: failed handshakes are told apart: the client’s at info, ours as a warning', async () => {
  const signer: Signer = { sign: () => Promise.reject(new Error('no key server answers')) }
  await using edge = await startFront((_request, response) => response.end('ok'), {}, signer)
  const unknown = tlsConnect({
    host: '127.0.0.1',
    port: edge.port,
    servername: 'three.test',
    ca: ca.certificatePem,
  })
  await once(unknown, 'error')
  const unsigned = tlsConnect({
    host: '127.0.0.1',
    port: edge.port,
    servername: 'one.test',
    ca: ca.certificatePem,
  })
  await once(unsigned, 'error')
  while (edge.log.length < 2) await sleep(1)
  assert.deepEqual(
    edge.log.map(({ level, fields }) => [level, fields['code'], fields['peer'], fields['serverName']]),
    [
      ['info', 'ERR_TLS_UNRECOGNIZED_NAME', '127.0.0.1', 'three.test'],
      ['warning', 'ERR_TLS_SIGNER', '127.0.0.1', 'one.test'],
    ],
  )
  assert.match(
    edge.log[0]?.text ?? '',
    /^TLS handshake with 127\.0\.0\.1 for three\.test failed: ERR_TLS_UNREC/,
  )
  assert.match(edge.log[1]?.text ?? '', /ERR_TLS_SIGNER: the signer failed.*: no key server answers$/)
})

test('front: a failed handshake that named no server is logged without a name', async () => {
  await using edge = await startFront((_request, response) => response.end('ok'))
  const raw = tcpConnect(edge.port, '127.0.0.1')
  raw.on('error', () => {}).write('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')
  await once(raw.resume(), 'close')
  while (edge.log.length < 1) await sleep(1)
  assert.match(edge.log[0]?.text ?? '', /^TLS handshake with 127\.0\.0\.1 failed: ERR_TLS_/)
  assert.equal(edge.log[0]?.fields['serverName'], undefined)
})

test('front: slow read: a client that stops to read is cut off, and its request at the origin', async () => {
  const chunk = Buffer.alloc(64 * 1024)
  const ended = Promise.withResolvers<void>()
  const limits = { downloadGraceMs: 200, originConnectMs: 3000 }
  await using edge = await startFront((_request, response) => {
    response.once('close', ended.resolve)
    const fill = (): void => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', fill)
    fill()
  }, limits)
  const socket = await secureSocket(edge.port)
  socket.on('error', () => {}).pause()
  socket.write('GET / HTTP/1.1\r\nHost: one.test\r\n\r\n')
  await ended.promise
  const line = edge.log.find(({ fields }) => fields['code'] === 'ERR_EDGE_CLIENT_SLOW')
  assert.equal(line?.text, 'one.test: 127.0.0.1: ERR_EDGE_CLIENT_SLOW: download')
  socket.destroy()
})

test('front: slow post: a client that stops to send gets a 408', async () => {
  await using edge = await startFront(() => {}, { uploadGraceMs: 100 })
  const socket = await secureSocket(edge.port)
  socket.write('POST / HTTP/1.1\r\nHost: one.test\r\nContent-Length: 10\r\n\r\nabc')
  const [part] = (await once(socket, 'data')) as [Buffer]
  assert.match(part.toString(), /^HTTP\/1.1 408 /)
  socket.destroy()
})

test('front: closing lets a response finish, drops idle and half-open connections, and refuses new ones', async () => {
  const release = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  await using edge = await startFront(async (_request, response) => {
    response.write('begun ')
    arrived.resolve()
    await release.promise
    response.end('and finished')
  })
  const idle = await secureSocket(edge.port)
  const raw = tcpConnect(edge.port, '127.0.0.1')
  await once(raw, 'connect')
  const answer = get(edge.port, { agent: false })
  await arrived.promise
  const closed = edge.front.close({ drainMs: 2000 })
  const late = tcpConnect(edge.port, '127.0.0.1')
  const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECONNREFUSED')
  release.resolve()
  assert.equal((await answer).text, 'begun and finished')
  const ends = [idle, raw].map((socket) =>
    socket.closed ? undefined : once(socket.on('error', () => {}).resume(), 'close'),
  )
  await Promise.all([closed, ...ends])
  assert.equal(edge.front.active, 0)
})

test('front: what does not finish within drainMs is broken off', async () => {
  await using edge = await startFront((_request, response) => response.write('for ever'))
  const answer = get(edge.port)
  while (edge.front.active < 1) await sleep(1)
  await edge.front.close({ drainMs: 30 })
  await assert.rejects(answer, { code: 'ECONNRESET' })
})

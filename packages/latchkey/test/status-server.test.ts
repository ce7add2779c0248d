// What the pages answer, and what a stranger cannot do to them.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { createLogger, silentLogger } from '@latchkey/core'
import { serveStatus, type StatusServerOptions } from '../src/process/status-server.ts'

function serve(options: Partial<StatusServerOptions> = {}) {
  return serveStatus({
    host: '127.0.0.1',
    port: 0,
    logger: silentLogger,
    metrics: () => 'a 1\n',
    readiness: () => [{ name: 'keys', isMet: true }],
    ...options,
  })
}

/** Sends `bytes` and resolves with all that came until the server closed. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text
  })
  socket.on('error', () => {})
  socket.write(bytes)
  await once(socket, 'close')
  return received
}

test('three pages, and 404 for all else', async () => {
  await using server = await serve()
  const base = `http://127.0.0.1:${server.address?.port}`
  for (const [path, status, body] of [
    ['/metrics', 200, 'a 1\n'],
    ['/metrics?name=x', 200, 'a 1\n'],
    ['/healthz', 200, '{"status":"alive"}\n'],
    ['/readyz', 200, '{"status":"ready","conditions":{"keys":"ok"}}\n'],
    ['/', 404, '404 page not found\n'],
    ['/metrics/', 404, '404 page not found\n'],
    ['/debug/pprof', 404, '404 page not found\n'],
  ] as const) {
    const response = await fetch(base + path)
    assert.deepEqual([response.status, await response.text()], [status, body], path)
    assert.equal(response.headers.get('cache-control'), 'no-store')
    const head = await fetch(base + path, { method: 'HEAD' })
    assert.deepEqual([head.status, await head.text()], [status, ''], path)
    assert.equal(head.headers.get('content-length'), String(body.length))
  }
})

test('only GET and HEAD; a body is not waited for', async () => {
  await using server = await serve()
  const port = server.address?.port ?? 0
  const answer = await exchange(port, 'POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n')
  assert.match(answer, /^HTTP\/1\.1 405 [^]*\r\nallow: GET, HEAD\r\n/i)
})

for (const [name, bytes, status] of [
  ['no HTTP', 'nonsense\r\n\r\n', '400'],
  ['headers without an end', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}`, '431'],
  ['a URL of 20 kB', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, '431'],
  ['two lengths', 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', '400'],
] as const) {
  test(`${name}: ${status} and closed`, async () => {
    await using server = await serve()
    assert.match(await exchange(server.address?.port ?? 0, bytes), new RegExp(`^HTTP/1\\.1 ${status} `))
  })
}

test('connections beyond the limit are closed at once, and there is room again later', async () => {
  await using server = await serve()
  const port = server.address?.port ?? 0
  const sockets = Array.from({ length: 64 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  await exchange(port, '') // closed by the server
  for (const socket of sockets) socket.destroy()
  await Promise.all(sockets.map((socket) => once(socket, 'close')))
  for (let tries = 0; ; tries++) {
    const response = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined)
    if (response?.status === 200) break
    assert.ok(tries < 50, 'no room again')
  }
})

test('metrics that cannot be collected are a 500 and an error line', async () => {
  const lines: string[] = []
  const logger = createLogger(({ level, text }) => lines.push(`${level}: ${text}`))
  await using server = await serve({ logger, metrics: () => Promise.reject(new Error('no answer')) })
  const response = await fetch(`http://127.0.0.1:${server.address?.port}/metrics`)
  assert.deepEqual([response.status, await response.text()], [500, 'metrics cannot be collected\n'])
  assert.ok(lines.includes('error: metrics cannot be collected: no answer'))
})

// How connections end: in order, in disorder, and when the other side does nothing about it.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { describe, test } from 'node:test'
import type { TlsError, TlsSocket } from '@latchkey/tls'
import { ascii } from './support/bytes.ts'
import { RawClient } from './support/raw-client.ts'
import {
  collect,
  connectTls,
  type ServerOptions,
  startTls,
  type TestServer,
  until,
} from './support/socket-server.ts'

const CLOSE_NOTIFY = 0
const LINGER_MS = 2000

interface Connection extends AsyncDisposable {
  readonly server: TestServer
  readonly client: RawClient
  readonly socket: TlsSocket
  readonly raw: Socket
  /** What the stream said, in order. */
  readonly events: string[]
  readonly errors: Error[]
}

/** A connection whose server side writes down what happens to it. */
async function connection(options?: ServerOptions): Promise<Connection> {
  const events: string[] = []
  const errors: Error[] = []
  const sockets: TlsSocket[] = []
  const server = await startTls((socket) => {
    for (const name of ['end', 'finish', 'close']) socket.on(name, () => events.push(name))
    socket.on('error', (error) => {
      events.push('error')
      errors.push(error)
    })
    sockets.push(socket)
  }, options)
  const client = await new RawClient(server.port).connected()
  await until(() => sockets.length === 1)
  return {
    server,
    client,
    socket: sockets[0] as TlsSocket,
    raw: server.raw[0] as Socket,
    events,
    errors,
    [Symbol.asyncDispose]: async () => {
      client.socket.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

// ── the server ends ─────────────────────────────────────────────────────────────────────────────────────────────────

test('closing: end() sends what was written, close_notify, then FIN', async () => {
  await using both = await connection()
  const { client, socket } = both
  socket.write('all ')
  socket.end('of it')
  await client.ended()
  assert.equal(Buffer.from(client.tls.received).toString(), 'all of it')
  assert.deepEqual(client.tls.alerts, [{ level: 1, name: 'close_notify', encrypted: true }])
  assert.equal(client.hasEnded && !client.isClosed, true)
  assert.equal(client.tls.pending, 0)
  client.tls.alert(CLOSE_NOTIFY, 1)
  client.flush().socket.end()
  await until(() => both.events.includes('close'))
  assert.deepEqual(both.events, ['finish', 'end', 'close'])
})

test('closing: destroy() sends no close_notify, so that what breaks off does not look complete', async () => {
  await using both = await connection()
  both.socket.write('half of')
  both.socket.destroy()
  await both.client.ended()
  assert.equal(Buffer.from(both.client.tls.received).toString(), 'half of')
  assert.deepEqual(both.client.alerts, [])
  assert.deepEqual(both.events, ['close'])
})

for (const how of ['end', 'destroySoon'] as const) {
  test(`closing: ${how}() lets the last bytes go although the client does not read yet`, async () => {
    await using both = await connection()
    const { client, socket, raw } = both
    client.socket.pause()
    const chunk = randomBytes(16_384)
    let sent = 0
    // Until the kernel takes no more: the rest waits in this process.
    while (raw.writableLength === 0) {
      socket.write(chunk)
      sent += chunk.length
      await nextTurn()
    }
    socket[how]()
    await nextTurn()
    assert.deepEqual(both.events, [])
    client.socket.resume()
    await client.ended()
    assert.equal(client.tls.received.length, sent)
    assert.deepEqual(client.alerts, ['close_notify'])
  })
}

test('closing: a destroyed server stream ends the TCP connection once', async () => {
  await using both = await connection()
  both.socket.destroy()
  both.socket.destroy()
  both.socket.end()
  await until(() => both.client.isClosed || both.client.hasEnded)
  await until(() => both.raw.closed)
  assert.deepEqual(both.events, ['close'])
})

// ── the client ends ─────────────────────────────────────────────────────────────────────────────────────────────────

test('closing: close_notify ends the stream, which answers in kind', async () => {
  await using both = await connection()
  both.socket.resume()
  both.client.tls.send(ascii('bye')).alert(CLOSE_NOTIFY, 1)
  both.client.flush()
  await both.client.ended()
  await until(() => both.events.includes('close'))
  assert.deepEqual(both.client.alerts, ['close_notify'])
  assert.deepEqual(both.errors, [])
})

for (const [name, requireCloseNotify] of [
  ['is an end by default', false],
  ['is ERR_TLS_TRUNCATED where close_notify is required', true],
] as const) {
  test(`closing: FIN without close_notify ${name}`, async () => {
    await using both = await connection({ requireCloseNotify })
    both.socket.resume()
    both.client.send(ascii('cut')).socket.end()
    await until(() => both.events.includes('close'))
    const [error] = both.errors
    assert.equal((error as TlsError | undefined)?.code, requireCloseNotify ? 'ERR_TLS_TRUNCATED' : undefined)
    assert.equal(both.events.includes('end'), !requireCloseNotify)
  })
}

test('closing: close_notify and FIN are an end also where close_notify is required', async () => {
  await using both = await connection({ requireCloseNotify: true })
  both.socket.resume()
  both.client.tls.alert(CLOSE_NOTIFY, 1)
  both.client.flush().socket.end()
  await until(() => both.events.includes('close'))
  assert.deepEqual(both.errors, [])
})

test('closing: a stream that nobody reads ends with its client', async () => {
  await using both = await connection()
  both.socket.write('only ever written')
  both.client.socket.end()
  await until(() => both.events.includes('close'))
  assert.deepEqual(both.errors, [])
})

for (const [how, says] of [
  ['close_notify and FIN', true],
  ['FIN alone', false],
] as const) {
  test(`closing: a reader that is still busy when both sides have ended (${how}) gets everything`, async () => {
    await using both = await connection()
    const { client, socket, raw } = both
    const data = randomBytes(40_000)
    socket.end('I am done')
    for (let at = 0; at < data.length; at += 10_000) client.tls.send(data.subarray(at, at + 10_000))
    if (says) client.tls.alert(CLOSE_NOTIFY, 1)
    client.flush().socket.end()
    await until(() => raw.closed)
    assert.equal(socket.destroyed, false)
    const received: Buffer[] = []
    for await (const chunk of socket) {
      await nextTurn()
      received.push(chunk as Buffer)
    }
    assert.deepEqual(Buffer.concat(received), data)
    assert.deepEqual(both.errors, [])
  })
}

test('closing: with allowHalfOpen the server goes on writing after the client has ended', async () => {
  await using both = await connection({ allowHalfOpen: true })
  const { client, socket } = both
  socket.resume()
  client.tls.alert(CLOSE_NOTIFY, 1)
  client.flush().socket.end()
  await until(() => both.events.includes('end'))
  await sleep(20)
  assert.equal(socket.writable, true)
  socket.write('still ')
  await sleep(20)
  socket.end('here')
  await client.ended()
  assert.equal(Buffer.from(client.tls.received).toString(), 'still here')
  await until(() => both.events.includes('close'))
  assert.deepEqual(both.events, ['end', 'finish', 'close'])
})

// ── somebody breaks off ─────────────────────────────────────────────────────────────────────────────────────────────

test('closing: a reset is an error of the stream, and no error of the process', async () => {
  await using both = await connection()
  both.socket.resume()
  both.client.socket.resetAndDestroy()
  await until(() => both.events.includes('close'))
  assert.deepEqual(both.events, ['error', 'close'])
  assert.equal((both.errors[0] as NodeJS.ErrnoException).code, 'ECONNRESET')
})

test('closing: a reset that nobody listens for is nothing', async () => {
  const sockets: TlsSocket[] = []
  await using server = await startTls((socket) => sockets.push(socket.resume()))
  using client = await new RawClient(server.port).connected()
  await until(() => sockets.length === 1)
  client.socket.resetAndDestroy()
  await until(() => sockets[0]?.closed === true)
  assert.deepEqual(server.failures, [])
})

test('closing: a reset while the server writes ends its writes', async () => {
  await using both = await connection()
  const { client, socket } = both
  client.socket.pause()
  const chunk = new Uint8Array(65_536)
  const pump = (): void => {
    while (!socket.destroyed && socket.write(chunk));
    if (!socket.destroyed) socket.once('drain', pump)
  }
  pump()
  await sleep(30)
  client.socket.resetAndDestroy()
  await until(() => both.events.includes('close'))
  assert.deepEqual(both.events, ['error', 'close'])
})

test('closing: a bad record is answered with its alert and ends the stream with its error', async () => {
  await using both = await connection()
  const { client, socket } = both
  socket.resume()
  const record = client.tls.send(ascii('tampered with')).take()
  record[record.length - 1] = (record.at(-1) as number) ^ 1
  client.socket.write(record)
  await client.ended()
  assert.deepEqual(client.alerts, ['bad_record_mac'])
  assert.equal((both.errors[0] as TlsError).code, 'ERR_TLS_BAD_RECORD_MAC')
})

test('closing: a TCP socket that is destroyed under the stream takes it along', async () => {
  await using both = await connection()
  both.socket.resume()
  both.raw.destroy()
  await until(() => both.events.includes('close'))
  assert.equal((both.errors[0] as TlsError).code, 'ERR_TLS_TRANSPORT')
})

// ── the other side does nothing about it ────────────────────────────────────────────────────────────────────────────

describe('closing: patience', { concurrency: true }, () => {
  test('a client that does not close is let go 2 s after end(), without an error', async () => {
    await using both = await connection()
    both.socket.resume()
    const start = performance.now()
    both.socket.end('bye')
    await until(() => both.events.includes('close'))
    const waited = performance.now() - start
    assert.ok(waited >= LINGER_MS - 20 && waited < LINGER_MS + 1500, `${waited} ms`)
    assert.deepEqual(both.events, ['finish', 'close'])
  })

  test('a client that does not close after its handshake failed is let go 2 s later', async () => {
    await using server = await startTls(() => {}, { minVersion: 'TLSv1.3' })
    // What counts is the server's time: a busy machine may tell the client late.
    const start = performance.now()
    using client = new RawClient(server.port, { hello: { versions: [0x0303] } }).hello()
    await client.ended()
    assert.deepEqual(client.alerts, ['protocol_version'])
    await until(() => server.raw[0]?.closed === true)
    const waited = performance.now() - start
    assert.ok(waited >= LINGER_MS - 50 && waited < LINGER_MS + 1500, `${waited} ms`)
    assert.equal(server.failures.length, 1)
  })

  test('a client that closes after its handshake failed is let go at once', async () => {
    await using server = await startTls(() => {}, { minVersion: 'TLSv1.3' })
    using client = new RawClient(server.port, { hello: { versions: [0x0303] } }).hello()
    await client.ended()
    const start = performance.now()
    client.socket.end()
    await until(() => server.raw[0]?.closed === true)
    assert.ok(performance.now() - start < LINGER_MS / 2)
  })

  test('with allowHalfOpen a client may send for as long as it likes after end()', async () => {
    await using both = await connection({ allowHalfOpen: true })
    const { client, socket } = both
    const received = collect(socket)
    socket.end()
    await sleep(LINGER_MS + 200)
    client.tls.send(ascii('late, but here')).alert(CLOSE_NOTIFY, 1)
    client.flush().socket.end()
    assert.equal((await received).toString(), 'late, but here')
    await until(() => both.events.includes('close'))
    assert.deepEqual(both.errors, [])
  })

  test('a client that reads slowly is not let go before it has the last bytes', async () => {
    const sockets: TlsSocket[] = []
    await using server = await startTls((socket) => sockets.push(socket))
    const client = await connectTls(server.port)
    await until(() => sockets.length === 1)
    const [socket, raw] = [sockets[0] as TlsSocket, server.raw[0] as Socket]
    let sent = 0
    while (raw.writableLength === 0) {
      socket.write(new Uint8Array(16_384))
      sent += 16_384
      await nextTurn()
    }
    socket.end()
    await sleep(LINGER_MS + 200)
    assert.equal((await collect(client)).length, sent)
  })
})

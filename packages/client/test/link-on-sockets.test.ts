// The life of the link on real sockets: down, back, refused, silent, slow, closed.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { encodeResponse, OPCODES } from '@latchkey/wire'
import {
  type Asked,
  clientOf,
  CREDENTIALS,
  echo,
  signRequest,
  startKeyServer,
  until,
} from './scripted-key-server.ts'
import { createKeyServerClient, type KeyServerClient } from '../src/index.ts'

const isPing = ({ operation }: Asked): boolean => operation.opcode === OPCODES.OpPing.code

function rejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => Promise.reject(new Error('it was answered')),
    (error: { code: string }) => error.code,
  )
}

const BIG = {
  opcode: OPCODES.OpEd25519Sign.code,
  ski: new Uint8Array(20).fill(1),
  payload: new Uint8Array(60_000),
}

/** Fills what the kernel and the socket take of a peer that does not read: the next packets stay in the queue. */
async function askUntilBlocked(client: KeyServerClient): Promise<Promise<unknown>[]> {
  const results: Promise<unknown>[] = []
  while (client.health.waiting === 0) {
    for (let n = 0; n < 5; n++) results.push(client.request(BIG))
    await sleep(10)
  }
  return results
}

/** A port that nobody listens on, for now. */
async function freePort(): Promise<number> {
  await using server = await startKeyServer()
  return server.port
}

test('connection refused: requests fail at once, not after a timeout', async () => {
  await using client = clientOf({ port: await freePort() })
  const started = performance.now()
  for (let n = 0; n < 5; n++) {
    await assert.rejects(client.request(signRequest(n)), {
      code: 'ERR_CLIENT_CONNECT',
      detail: 'ECONNREFUSED',
    })
  }
  const tookMs = performance.now() - started
  assert.ok(tookMs < 500, `${tookMs} ms`)
  assert.equal(client.health.counts.failedDials > 0, true)
})

test('a key server that comes back is used again within two seconds', async () => {
  const port = await freePort()
  await using client = clientOf({ port }, { random: () => 0.999 })
  // Fails often enough for the back-off to have reached its cap.
  await until(() => {
    client.request(signRequest(0)).catch(() => {})
    return client.health.counts.failedDials >= 3
  })
  await using _server = await startKeyServer(echo, { port })
  const started = performance.now()
  let answered = false
  await until(() => {
    client.request(signRequest(1)).then(
      () => (answered = true),
      () => {},
    )
    return answered
  })
  assert.ok(performance.now() - started < 2000)
})

test('a key server that restarts is found again without anybody asking', async () => {
  const first = await startKeyServer()
  await using client = clientOf(first)
  await client.request(signRequest(1))
  await first[Symbol.asyncDispose]()
  await until(() => client.state === 'backing-off')
  await using second = await startKeyServer(echo, { port: first.port })
  await until(() => client.state === 'open' && second.connections === 1)
  assert.equal(client.health.lastError === undefined, false)
  assert.equal((await client.request(signRequest(2))).payload?.[1], 2)
  assert.equal(client.health.lastError, undefined)
})

test('a certificate of another authority is not trusted', async () => {
  await using server = await startKeyServer()
  const other = await createThrowawayCa()
  await using client = clientOf(server, { ca: other.certificatePem })
  await assert.rejects(client.request(signRequest(1)), {
    code: 'ERR_CLIENT_CONNECT',
    detail: /SIGNATURE|CERT|UNABLE/,
  })
})

test('a certificate for another name is not trusted', async () => {
  await using server = await startKeyServer()
  await using client = clientOf(server, { serverName: 'other.example.com' })
  await assert.rejects(client.request(signRequest(1)), {
    code: 'ERR_CLIENT_CONNECT',
    detail: 'ERR_TLS_CERT_ALTNAME_INVALID',
  })
})

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a client certificate that the key server refuses is no answer, ${maxVersion}`, async () => {
    await using server = await startKeyServer(echo, { maxVersion })
    const { chainPem: cert, privateKeyPem: key } = await (await createThrowawayCa()).issue({
      commonName: 'x',
    })
    await using client = clientOf(server, { cert, key })
    await assert.rejects(client.request(signRequest(1)), (error: { code: string }) =>
      ['ERR_CLIENT_CONNECT', 'ERR_CLIENT_TRANSPORT'].includes(error.code),
    )
    await until(() => client.state === 'backing-off')
  })
}

test('TLS 1.2 peers with the two suites of the protocol', async () => {
  const ciphers = 'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384'
  await using server = await startKeyServer(echo, { maxVersion: 'TLSv1.2', ciphers })
  await using client = clientOf(server)
  assert.equal((await client.request(signRequest(1))).payload?.[1], 1)
  await using modern = clientOf(server, { minVersion: 'TLSv1.3' })
  await assert.rejects(modern.request(signRequest(1)), { code: 'ERR_CLIENT_CONNECT' })
})

test('a peer that accepts and says nothing ends the wait', async () => {
  const sockets: Socket[] = []
  const server = createServer((socket) => void sockets.push(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = clientOf({ port: (server.address() as AddressInfo).port }, { connectTimeoutMs: 60 })
  await assert.rejects(client.request(signRequest(1)), { code: 'ERR_CLIENT_CONNECT' })
  await client[Symbol.asyncDispose]()
  for (const socket of sockets) socket.destroy()
  server.close()
  await once(server, 'close')
})

test('an idle connection is pinged', async () => {
  let pings = 0
  await using server = await startKeyServer((asked) => {
    if (isPing(asked)) pings++
    echo(asked)
  })
  await using client = clientOf(server, { idlePingMs: 40 })
  await client.request(signRequest(1))
  await until(() => pings >= 3)
  await until(() => client.health.rttMs !== undefined)
  assert.equal(server.connections, 1)
  assert.equal(client.health.counts.lateReplies, 0)
})

test('a connection on which nothing comes is given up, and its requests are asked again', async () => {
  await using server = await startKeyServer((asked) => {
    if (asked.connection === 1) echo(asked)
  })
  await using client = clientOf(server, { silentPingMs: 50, pongTimeoutMs: 50 })
  assert.equal((await client.request(signRequest(1))).payload?.[1], 1)
  assert.equal(server.connections, 2)
})

test('a slow operation does not end a connection that answers pings', async () => {
  await using server = await startKeyServer((asked) => {
    if (isPing(asked)) echo(asked)
    else setTimeout(() => echo(asked), 400)
  })
  await using client = clientOf(server, { silentPingMs: 50, pongTimeoutMs: 100 })
  assert.equal((await client.request(signRequest(1))).payload?.[1], 1)
  assert.equal(server.connections, 1)
})

test('a pause is not held against a connection that then answers soon', async () => {
  let pings = 0
  await using server = await startKeyServer((asked) => {
    if (isPing(asked)) pings++
    setTimeout(() => echo(asked), 45)
  })
  await using client = clientOf(server, { silentPingMs: 100 })
  await client.request(signRequest(1))
  await sleep(150)
  await client.request(signRequest(2))
  assert.equal(pings, 0)
})

test('what a slow reader does not take waits here, bounded, can be given up, and goes out later', async () => {
  let reader: Asked | undefined
  await using server = await startKeyServer((asked) => {
    if (reader === undefined) {
      reader = asked
      asked.socket.pause()
    }
    echo(asked)
  })
  await using client = clientOf(server, { maxQueuedBytes: 1_000_000 })
  await client.request(signRequest(0))
  const results = await askUntilBlocked(client)
  const { waiting } = client.health
  const more = Array.from({ length: 17 }, () => client.request(BIG))
  const outcomes = await Promise.race([Promise.any(more.map(rejection)), sleep(500)])
  assert.equal(outcomes, 'ERR_CLIENT_OVERLOADED')

  const controller = new AbortController()
  const small = rejection(client.request(signRequest(1), { signal: controller.signal }))
  controller.abort()
  assert.equal(await small, 'ERR_CLIENT_ABORTED')
  assert.ok(client.health.waiting >= waiting)

  reader?.socket.resume()
  for (const reply of await Promise.all(results)) assert.ok(reply)
  await Promise.allSettled(more)
  assert.deepEqual([client.health.waiting, client.health.inFlight], [0, 0])
  assert.equal(server.connections, 1)
})

test('a peer that goodbyes without reading what is on its way is left at once', async () => {
  let reader: Asked | undefined
  await using server = await startKeyServer((asked) => {
    if (reader === undefined) {
      reader = asked
      asked.socket.pause()
    }
    echo(asked)
  })
  await using client = clientOf(server, { operationTimeoutMs: 1500 })
  await client.request(signRequest(0))
  const results = await askUntilBlocked(client)
  reader?.socket.end()
  for (const reply of await Promise.all(results)) assert.ok(reply)
  assert.equal(server.connections, 2)
})

test('disposing lets running requests finish, refuses new ones, and may be done twice', async () => {
  const asked: Asked[] = []
  await using server = await startKeyServer((request) => void asked.push(request))
  const client = clientOf(server)
  const running = client.request(signRequest(1))
  await until(() => asked.length === 1)
  const disposed = Promise.all([client[Symbol.asyncDispose](), client[Symbol.asyncDispose]()])
  await assert.rejects(client.request(signRequest(2)), { code: 'ERR_CLIENT_CLOSED' })
  for (const { id, reply } of asked) reply(encodeResponse(id, Uint8Array.of(5)))
  assert.equal((await running).payload?.[0], 5)
  await disposed
  assert.equal(client.state, 'closed')
  await until(() => server.openConnections === 0)
  await client[Symbol.asyncDispose]()
})

test('disposing waits for a bounded time only', async () => {
  await using server = await startKeyServer(() => {})
  const client = clientOf(server, { drainTimeoutMs: 60 })
  const running = assert.rejects(client.request(signRequest(1)), { code: 'ERR_CLIENT_CLOSED' })
  const started = performance.now()
  await client[Symbol.asyncDispose]()
  await running
  assert.ok(performance.now() - started < 700)
})

test('disposing a client that was never used, and one that is dialling', async () => {
  await clientOf({ port: 1 })[Symbol.asyncDispose]()

  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const dialling = clientOf({ port: (server.address() as AddressInfo).port }, { drainTimeoutMs: 1 })
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const outcome = rejection(dialling.request(signRequest(1)))
  const [socket] = await accepted
  socket.resume().on('error', () => {})
  const hungUp = once(socket, 'close')
  await dialling[Symbol.asyncDispose]()
  assert.equal(await outcome, 'ERR_CLIENT_CLOSED')
  await hungUp
  assert.deepEqual([dialling.state, dialling.health.counts.failedDials], ['closed', 0])
  server.close()
  await once(server, 'close')
})

test('wrong options are found before anything is dialled', () => {
  const good = { host: '127.0.0.1', ...CREDENTIALS }
  assert.throws(() => createKeyServerClient({ ...good, port: 0 }), RangeError)
  assert.throws(() => createKeyServerClient({ ...good, maxInFlight: 1 }), RangeError)
  assert.throws(() => createKeyServerClient({ ...good, operationTimeoutMs: Number.NaN }), RangeError)
  assert.throws(() => createKeyServerClient({ ...good, cert: 'no certificate' }), Error)
  assert.equal(createKeyServerClient(good).address, '127.0.0.1:2407')
  assert.equal(createKeyServerClient({ ...good, host: '::1', port: 5 }).address, '[::1]:5')
  const bytes = { ...good, cert: Buffer.from(good.cert), key: new TextEncoder().encode(good.key) }
  assert.equal(createKeyServerClient(bytes).state, 'idle')
})

import assert from 'node:assert/strict'
import test from 'node:test'
import {
  encodeError,
  encodePacket,
  encodeResponse,
  OPCODES,
  PROTOCOL_ERRORS,
  SCOPED_SIGNING_PROTOCOL,
} from '@latchkey/wire'
import { type Asked, clientOf, echo, signRequest, startKeyServer, until } from './scripted-key-server.ts'

test('a request is answered over mutual TLS', async () => {
  await using server = await startKeyServer()
  await using client = clientOf(server)
  assert.equal(client.state, 'idle')
  const reply = await client.request(signRequest(7))
  assert.deepEqual([reply.opcode, reply.payload], [OPCODES.OpResponse.code, Uint8Array.of(0, 7)])
  assert.equal(client.state, 'open')
})

test('many requests share one connection and few writes', async () => {
  let reads = 0
  await using server = await startKeyServer((asked) => {
    if (asked.operation.payload?.[1] === 0) asked.socket.on('data', () => reads++)
    echo(asked)
  })
  await using client = clientOf(server)
  await client.request(signRequest(0))
  const replies = await Promise.all(Array.from({ length: 50 }, (_, n) => client.request(signRequest(n + 1))))
  assert.deepEqual(
    replies.map(({ payload }) => payload?.[1]),
    Array.from({ length: 50 }, (_, n) => n + 1),
  )
  assert.equal(server.connections, 1)
  assert.ok(reads <= 10, `50 requests came in ${reads} reads`)
})

test('replies find their requests in whatever order they come', async () => {
  const asked: Asked[] = []
  await using server = await startKeyServer((request) => {
    asked.push(request)
    if (asked.length === 3) for (const one of asked.toReversed()) echo(one)
  })
  await using client = clientOf(server)
  const order: number[] = []
  const ask = async (n: number): Promise<void> => {
    const { payload } = await client.request(signRequest(n))
    assert.equal(payload?.[1], n)
    order.push(n)
  }
  await Promise.all([ask(1), ask(2), ask(3)])
  assert.deepEqual(order, [3, 2, 1])
})

test('ping measures, and wants its own payload back', async () => {
  await using server = await startKeyServer((asked) => {
    const isFalse = asked.operation.payload?.[0] === 9
    asked.reply(isFalse ? encodePacket(asked.id, { opcode: OPCODES.OpPong.code }) : new Uint8Array())
    if (!isFalse) echo(asked)
  })
  await using client = clientOf(server)
  const { rttMs } = await client.ping()
  assert.ok(rttMs > 0 && rttMs < 1000)
  assert.equal(client.health.rttMs, rttMs)
  assert.ok((await client.ping(Uint8Array.of(1, 2))).rttMs > 0)
  await assert.rejects(client.ping(Uint8Array.of(9)), { code: 'ERR_KEYLESS_REPLY' })
})

test('the scoped request goes to a key server that knows scopes, the plain one to any other', async () => {
  for (const [options, offered, expected] of [
    [{ ALPNProtocols: [SCOPED_SIGNING_PROTOCOL] }, true, 7],
    [{ ALPNProtocols: [SCOPED_SIGNING_PROTOCOL] }, false, 1],
    [{}, true, 1],
  ] as const) {
    await using server = await startKeyServer(echo, { ...options })
    await using client = clientOf(server, { scopedSigning: offered })
    const scoped = { ...signRequest(7), extra: Uint8Array.of(1) }
    const { payload } = await client.request(signRequest(1), { scoped })
    assert.deepEqual(payload?.[1], expected)
  }
})

test('an error reply is its code, and is not retried', async () => {
  let count = 0
  await using server = await startKeyServer(({ id, operation, reply }) => {
    count++
    reply(encodeError(id, operation.payload?.[1] ?? 0))
  })
  await using client = clientOf(server)
  for (const { wire, code } of PROTOCOL_ERRORS) {
    await assert.rejects(client.request(signRequest(wire)), { name: 'KeylessError', code })
  }
  await assert.rejects(client.request(signRequest(200)), { code: 'ERR_KEYLESS_REPLY' })
  assert.equal(count, 13)
  assert.equal(client.health.counts.lostConnections, 0)
})

test('killed in the middle of a request: it is asked once more on a new connection', async () => {
  await using server = await startKeyServer((asked) => {
    if (asked.connection === 0) asked.socket.destroy()
    else echo(asked)
  })
  await using client = clientOf(server)
  const replies = await Promise.all([1, 2, 3].map((n) => client.request(signRequest(n))))
  assert.deepEqual(
    replies.map(({ payload }) => payload?.[1]),
    [1, 2, 3],
  )
  assert.equal(server.connections, 2)
  assert.deepEqual([client.health.counts.retries, client.health.counts.lostConnections], [3, 1])
})

test('killed after it had answered: the next connection is dialled at once', async () => {
  await using server = await startKeyServer((asked) => {
    if (asked.connection === 0 && asked.operation.payload?.[1] === 2) asked.socket.destroy()
    else echo(asked)
  })
  await using client = clientOf(server)
  await client.request(signRequest(1))
  assert.equal((await client.request(signRequest(2))).payload?.[1], 2)
})

test('closed politely in the middle of a request: the same', async () => {
  await using server = await startKeyServer((asked) => {
    if (asked.connection === 0) asked.socket.end()
    else echo(asked)
  })
  await using client = clientOf(server)
  assert.equal((await client.request(signRequest(1))).payload?.[1], 1)
})

test('killed twice: a transport error', async () => {
  let count = 0
  await using server = await startKeyServer(({ socket }) => {
    count++
    socket.destroy()
  })
  await using client = clientOf(server)
  await assert.rejects(client.request(signRequest(1)), { code: 'ERR_CLIENT_TRANSPORT', mayRetry: true })
  assert.equal(count, 2)
})

test('a request that is not answered in time is given up, and a late reply is dropped', async () => {
  const asked: Asked[] = []
  await using server = await startKeyServer((request) => void asked.push(request))
  await using client = clientOf(server)
  const started = performance.now()
  await assert.rejects(client.request(signRequest(1), { timeoutMs: 80 }), { code: 'ERR_CLIENT_TIMEOUT' })
  const tookMs = performance.now() - started
  assert.ok(tookMs >= 80 && tookMs < 250, `${tookMs} ms`)
  for (const request of asked) echo(request)
  await until(() => client.health.counts.lateReplies === 1)
  assert.equal(client.state, 'open')
  assert.equal(client.health.inFlight, 0)
})

test('the time limit of the client holds where a request sets none', async () => {
  await using server = await startKeyServer(() => {})
  await using client = clientOf(server, { operationTimeoutMs: 60 })
  await assert.rejects(client.request(signRequest(1)), { code: 'ERR_CLIENT_TIMEOUT' })
})

test('a reply that comes twice, and one to nothing that was asked, are dropped', async () => {
  await using server = await startKeyServer((asked) => {
    asked.reply(encodeResponse(4_000_000_000, Uint8Array.of(1)))
    echo(asked)
    echo(asked)
  })
  await using client = clientOf(server)
  assert.equal((await client.request(signRequest(1))).payload?.[1], 1)
  assert.equal((await client.request(signRequest(2))).payload?.[1], 2)
  await until(() => client.health.counts.lateReplies === 4)
  assert.equal(server.connections, 1)
})

test('a malformed reply fails its request and ends the connection, others are asked again', async () => {
  await using server = await startKeyServer((asked) => {
    const { connection, id, operation, reply } = asked
    if (connection === 1 || operation.payload?.[1] === 0) echo(asked)
    else if (operation.payload?.[1] === 2) {
      const packet = encodeResponse(id, Uint8Array.of(1))
      packet.set([0x12, 0xff, 0xff], 12) // a payload item longer than the packet
      reply(packet)
    }
  })
  await using client = clientOf(server, { operationTimeoutMs: 500 })
  await client.request(signRequest(0))
  const [first, second] = await Promise.allSettled([
    client.request(signRequest(1)),
    client.request(signRequest(2)),
  ])
  assert.equal(first.status, 'fulfilled')
  assert.equal(second.status, 'rejected')
  assert.equal(second.reason.code, 'ERR_KEYLESS_ITEM_TRUNCATED')
  assert.equal(server.connections, 2)
})

test('a reply of another protocol version fails its request', async () => {
  await using server = await startKeyServer(({ id, reply }) => {
    const packet = encodeResponse(id, Uint8Array.of(1))
    packet[0] = 2
    reply(packet)
  })
  await using client = clientOf(server)
  await assert.rejects(client.request(signRequest(1)), { code: 'ERR_KEYLESS_VERSION_MISMATCH' })
})

test('a peer that speaks something else is a transport error', async () => {
  await using server = await startKeyServer(({ socket }) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  await using client = clientOf(server)
  await assert.rejects(client.request(signRequest(1)), (error: { code: string }) =>
    ['ERR_CLIENT_TRANSPORT', 'ERR_CLIENT_CONNECT'].includes(error.code),
  )
})

test('aborted before, while waiting for a connection, while in flight', async () => {
  await using server = await startKeyServer(() => {})
  await using client = clientOf(server)
  const reason = new Error('the visitor left')
  const aborted = { code: 'ERR_CLIENT_ABORTED', cause: reason }
  await assert.rejects(client.request(signRequest(1), { signal: AbortSignal.abort(reason) }), aborted)
  assert.equal(client.state, 'idle')

  const early = new AbortController()
  const waiting = client.request(signRequest(2), { signal: early.signal })
  assert.equal(client.health.waiting, 1)
  early.abort(reason)
  await assert.rejects(waiting, aborted)

  const late = new AbortController()
  const inFlight = client.request(signRequest(3), { signal: late.signal })
  await until(() => client.health.inFlight === 1)
  late.abort(reason)
  await assert.rejects(inFlight, aborted)
  assert.deepEqual([client.health.inFlight, client.health.waiting], [0, 0])
})

test('requests beyond the limit are refused at once, and taken again when there is room', async () => {
  const asked: Asked[] = []
  await using server = await startKeyServer((request) => void asked.push(request))
  await using client = clientOf(server, { maxInFlight: 4 }) // one place is the ping's
  const running = [1, 2, 3].map((n) => client.request(signRequest(n)))
  await assert.rejects(client.request(signRequest(4)), { code: 'ERR_CLIENT_OVERLOADED' })
  await until(() => asked.length === 3)
  for (const request of asked) echo(request)
  await Promise.all(running)
  const next = client.request(signRequest(5))
  await until(() => asked.length === 4)
  for (const request of asked.slice(3)) echo(request)
  assert.equal((await next).payload?.[1], 5)
})

test('an operation that cannot be written is refused and leaves nothing behind', async () => {
  await using server = await startKeyServer()
  await using client = clientOf(server)
  const huge = { opcode: OPCODES.OpPing.code, payload: new Uint8Array(70_000) }
  await assert.rejects(client.request(huge), { code: 'ERR_KEYLESS_TOO_LARGE' })
  await assert.rejects(client.request({ opcode: 0xf1, ski: new Uint8Array(3) }), RangeError)
  assert.deepEqual([client.health.waiting, client.state], [0, 'idle'])
})

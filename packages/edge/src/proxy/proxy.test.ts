import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  Agent,
  createServer,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
} from 'node:http'
import { type AddressInfo, connect, createServer as createNetServer, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startTestEdge } from './testing.ts'

const GET = 'GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n'

async function ask(
  port: number,
  options: RequestOptions,
  body?: Readable | string,
): Promise<IncomingMessage & { text: string }> {
  const request = httpRequest({ port, host: '127.0.0.1', headers: { host: 'site.test' }, ...options })
  const answered = once(request, 'response')
  if (body instanceof Readable) pipeline(body, request).catch(() => {})
  else request.end(body)
  const [response] = (await answered) as [IncomingMessage]
  let text = ''
  for await (const part of response.setEncoding('utf8')) text += part
  return Object.assign(response, { text })
}

test('proxy: method, path, fields and body go to the origin, status, fields and body come back', async () => {
  let seen: IncomingMessage | undefined
  await using edge = await startTestEdge(async (request, response) => {
    seen = request
    let body = ''
    for await (const part of request.setEncoding('utf8')) body += part
    response.writeHead(201, 'Made', ['X-One', '1', 'X-One', '2']).end(`got ${body}`)
  })
  const headers = { host: 'site.test', 'x-mine': 'yes' }
  const response = await ask(edge.port, { method: 'PUT', path: '/a/b?c=d%20e', headers }, 'hello')
  assert.equal(response.statusCode, 201)
  assert.equal(response.statusMessage, 'Made')
  assert.deepEqual(response.headersDistinct['x-one'], ['1', '2'])
  assert.equal(response.text, 'got hello')
  assert.equal(seen?.method, 'PUT')
  assert.equal(seen?.url, '/a/b?c=d%20e')
  assert.equal(seen?.headers.host, 'site.test')
  assert.equal(seen?.headers['x-mine'], 'yes')
  assert.equal(seen?.headers.via, '1.1 latchkey')
  assert.equal(seen?.headers['x-forwarded-for'], '127.0.0.1')
  assert.equal(seen?.headers.forwarded, 'for=127.0.0.1;host="site.test";proto=http')
})

for (const [name, text, status] of [
  ['a host that is not served', 'GET / HTTP/1.1\r\nHost: third.test\r\nConnection: close\r\n\r\n', 421],
  ['an address in place of a host', 'GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n', 421],
  [
    'absolute form counts, not host',
    'GET http://third.test/ HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n',
    421,
  ],
  ['no host', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
  ['no host in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 400],
  ['two hosts', 'GET / HTTP/1.1\r\nHost: site.test\r\nHost: other.test\r\nConnection: close\r\n\r\n', 400],
  [
    'a host that would break out of Forwarded',
    'GET / HTTP/1.1\r\nHost: a";for=1.1.1.1\r\nConnection: close\r\n\r\n',
    400,
  ],
  [
    'a target that is no path',
    'GET site.test/ HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n',
    400,
  ],
  ['TRACE', 'TRACE / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n', 405],
  ['CONNECT', 'CONNECT site.test:443 HTTP/1.1\r\nHost: site.test\r\n\r\n', 405],
  [
    'WebSocket',
    'GET / HTTP/1.1\r\nHost: site.test\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n',
    501,
  ],
  [
    'a header section that is too large',
    `GET / HTTP/1.1\r\nHost: site.test\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`,
    431,
  ],
  [
    'smuggling: both framing fields',
    'POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'smuggling: two lengths',
    'POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde',
    400,
  ],
  [
    'smuggling: a list of lengths',
    'POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 4, 4\r\n\r\nabcd',
    400,
  ],
  ['smuggling: a signed length', 'POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: +4\r\n\r\nabcd', 400],
  [
    'smuggling: space before the colon',
    'POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'smuggling: chunked is not last',
    'POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'smuggling: xchunked',
    'POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    501,
  ],
  [
    'smuggling: chunked in HTTP/1.0',
    'POST / HTTP/1.0\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  ['smuggling: a line feed alone', 'GET / HTTP/1.1\nHost: site.test\n\n', 400],
  [
    'smuggling: a folded line',
    'GET / HTTP/1.1\r\nHost: site.test\r\nX: a\r\n b\r\nConnection: close\r\n\r\n',
    400,
  ],
  [
    'a coding that we do not know',
    'POST / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    501,
  ],
  ['what is not HTTP', '\x16\x03\x01 hello\r\n\r\n', 400],
] as const) {
  test(`proxy refuses ${name}: ${status}`, async () => {
    let asked = 0
    await using edge = await startTestEdge((_request, response) => {
      asked++
      response.end()
    })
    const received = await edge.exchange(text)
    assert.match(received, new RegExp(`^HTTP/1.1 ${status} `))
    assert.equal(received.match(/HTTP\/1\.1/g)?.length, 1, 'one response only')
    assert.equal(asked, 0, 'the origin saw nothing')
  })
}

test('proxy: smuggling: a chunk size in two readings ends the connection and the request at the origin', async () => {
  const arrived = Promise.withResolvers<IncomingMessage>()
  await using edge = await startTestEdge((request) => {
    request.on('error', () => {}).resume()
    arrived.resolve(request)
  })
  const head = 'POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n'
  const socket = connect(edge.port, '127.0.0.1')
  socket.on('error', () => {}).write(`${head}3\r\nabc\r\n`)
  const request = await arrived.promise
  socket.resume().write('0x4\r\nabcd\r\n0\r\n\r\n')
  await Promise.all([once(socket, 'close'), new Promise((resolve) => request.once('close', resolve))])
  assert.equal(request.complete, false)
})

test('proxy: a bare-bones response of its own is plain text, uncached, and names nothing inside', async () => {
  await using edge = await startTestEdge(new URL('http://127.0.0.1:9'))
  const received = await edge.exchange(GET)
  assert.match(received, /^HTTP\/1.1 502 Bad Gateway\r\n/)
  assert.match(
    received,
    /Content-Type: text\/plain; charset=utf-8\r\nContent-Length: 46\r\nCache-Control: no-store\r\n/,
  )
  assert.match(received, /\r\n\r\n502 Bad Gateway: the origin cannot be reached\n$/)
  const warning = edge.log.find(({ level }) => level === 'warning')
  assert.match(
    warning?.text ?? '',
    /^site\.test: origin http:\/\/127.0.0.1:9: ERR_EDGE_ORIGIN_UNREACHABLE: .*ECONNREFUSED/,
  )
  assert.equal(warning?.fields['host'], 'site.test')
})

test('proxy: an absolute target of a served host goes on in origin form', async () => {
  await using edge = await startTestEdge((request, response) =>
    response.end(`${request.headers.host} ${request.url}`),
  )
  const received = await edge.exchange(
    'GET http://Other.test?q HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n',
  )
  assert.match(received, /Other\.test \/\?q/)
})

for (const [version, expected] of [
  ['1.1', /Transfer-Encoding: chunked\r\n\r\n[\s\S]*0\r\n\r\n$/i],
  ['1.0', /Connection: close\r\n\r\nonetwo$/i],
] as const) {
  test(`proxy: a response without length reaches HTTP/${version}`, async () => {
    await using edge = await startTestEdge((_request, response) => {
      response.write('one')
      response.end('two')
    })
    const received = await edge.exchange(
      `GET / HTTP/${version}\r\nHost: site.test\r\nConnection: close\r\n\r\n`,
    )
    assert.match(received, expected)
  })
}

for (const [method, status, expected] of [
  ['HEAD', 200, /Content-Length: 1000\r\n/i],
  ['GET', 204, /^HTTP\/1.1 204/],
  ['GET', 304, /ETag: "x"/],
] as const) {
  test(`proxy: ${method} ${status} has no body and the connection goes on`, async () => {
    await using edge = await startTestEdge((request, response) => {
      if (request.url === '/next') response.end('next')
      else response.writeHead(status, method === 'HEAD' ? ['Content-Length', '1000'] : ['ETag', '"x"']).end()
    })
    const next = 'GET /next HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n'
    const received = await edge.exchange(`${method} / HTTP/1.1\r\nHost: site.test\r\n\r\n${next}`)
    assert.match(received, expected)
    const [first = '', second = ''] = received.split(/(?<=\r\n\r\n)(?=HTTP)/)
    assert.match(first, /\r\n\r\n$/)
    assert.doesNotMatch(first, /transfer-encoding/i)
    assert.match(second, /next$/)
  })
}

for (const [name, head, body, expected] of [
  ['POST without a body says length 0', 'POST', '', ['content-length', '0']],
  [
    'GET with a chunked body stays chunked',
    'GET',
    'Transfer-Encoding: chunked\r\n',
    ['transfer-encoding', 'chunked'],
  ],
] as const) {
  test(`proxy: ${name}`, async () => {
    await using edge = await startTestEdge(async (request, response) => {
      let text = ''
      for await (const part of request.setEncoding('utf8')) text += part
      response.end(`${request.headers[expected[0]]} [${text}]`)
    })
    const payload = body === '' ? '' : '3\r\nabc\r\n0\r\n\r\n'
    const received = await edge.exchange(
      `${head} / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n${body}\r\n${payload}`,
    )
    assert.match(received, new RegExp(`${expected[1]} \\[${payload === '' ? '' : 'abc'}\\]`))
  })
}

test('proxy: the body streams both ways at once', async () => {
  await using edge = await startTestEdge((request, response) => {
    response.writeHead(200)
    request.on('data', (part: Buffer) => response.write(part.toString().toUpperCase()))
    request.on('end', () => response.end('!'))
  })
  const request = httpRequest({ port: edge.port, method: 'POST', headers: { host: 'site.test' } })
  request.write('ping')
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.setEncoding('utf8')
  assert.deepEqual(await once(response, 'data'), ['PING'])
  request.write('pong')
  assert.deepEqual(await once(response, 'data'), ['PONG'])
  request.end()
  assert.deepEqual(await once(response, 'data'), ['!'])
})

test('proxy: trailers pass in both directions', async () => {
  await using edge = await startTestEdge((request, response) => {
    request.resume().on('end', () => {
      response.write(`origin saw ${request.trailers['digest']}`)
      response.addTrailers({ 'X-Checksum': 'out' })
      response.end()
    })
  })
  const received = await edge.exchange(
    'POST / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nDigest: in\r\n\r\n',
  )
  assert.match(received, /origin saw in/)
  assert.match(received, /\r\n0\r\nX-Checksum: out\r\n\r\n$/)
})

test('proxy: trailers lost: all request trailers reach the origin, not the last alone', async () => {
  await using edge = await startTestEdge((request, response) => {
    request.resume().on('end', () => response.end(`origin saw ${request.rawTrailers.join(' ')}.`))
  })
  const received = await edge.exchange(
    'POST / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nDigest: one\r\nX-Two: two\r\nX-Two: three\r\n\r\n',
  )
  assert.match(received, /origin saw Digest one X-Two two X-Two three\./)
})

test('proxy: 100-continue is the decision of the origin', async () => {
  const origin = createServer((_request, response) => response.writeHead(413).end('too large'))
  origin.on('checkContinue', (request, response) => {
    if (request.url === '/no') {
      response.writeHead(413).end('too large')
      return
    }
    response.writeContinue()
    request.pipe(response)
  })
  await using edge = await startTestEdge(origin)
  const head = (path: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: site.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n`

  const socket = connect(edge.port, '127.0.0.1').setEncoding('latin1')
  socket.write(head('/yes'))
  assert.deepEqual(await once(socket, 'data'), ['HTTP/1.1 100 Continue\r\n\r\n'])
  socket.write('abc')
  let rest = ''
  socket.on('data', (part: string) => {
    rest += part
    if (rest.endsWith('0\r\n\r\n')) socket.end()
  })
  await once(socket, 'close')
  assert.match(rest, /^HTTP\/1.1 200 OK[\s\S]*abc/)

  assert.match(await edge.exchange(head('/no')), /^HTTP\/1.1 413 /)
})

test('proxy: early hints reach the client, but not one of HTTP/1.0', async () => {
  await using edge = await startTestEdge((_request, response) => {
    response.writeEarlyHints({ link: '</a.css>; rel=preload' }, () => response.end('done'))
  })
  assert.match(
    await edge.exchange(GET),
    /^HTTP\/1.1 103 Early Hints\r\nLink: <\/a.css>; rel=preload\r\n\r\nHTTP\/1.1 200 OK/i,
  )
  assert.match(await edge.exchange(GET.replace('1.1', '1.0')), /^HTTP\/1.1 200 OK/)
})

test('proxy: response desync: an interim response brings no framing with it', async () => {
  const origin = createNetServer((socket) => {
    socket
      .on('error', () => {})
      .once('data', () => {
        const framing = 'Content-Length: 3\r\nTrailer: X\r\n'
        socket.end(
          `HTTP/1.1 103 Early Hints\r\n${framing}Link: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`,
        )
      })
  })
  await using edge = await startTestEdge(origin)
  const [interim] = (await edge.exchange(GET)).split('\r\n\r\n')
  assert.equal(interim, 'HTTP/1.1 103 Early Hints\r\nLink: </a>')
})

test('proxy: one connection to the origin serves many requests of many clients', async () => {
  const sockets = new Set<unknown>()
  await using edge = await startTestEdge((request, response) => {
    sockets.add(request.socket)
    response.end('ok')
  })
  for (let count = 0; count < 5; count++) assert.equal((await ask(edge.port, { agent: false })).text, 'ok')
  assert.equal(sockets.size, 1)
})

for (const [method, status] of [
  ['GET', 200],
  ['POST', 502],
] as const) {
  test(`proxy: ${method} on a pooled connection that the origin has just closed gives ${status}`, async () => {
    let connections = 0
    const origin = createNetServer((socket) => {
      const isFirst = connections++ === 0
      let requests = 0
      // The second request on the first connection is met with a reset, as a closing origin does.
      socket.on('data', () => {
        if (isFirst && requests++ > 0) socket.resetAndDestroy()
        else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      })
    })
    await using edge = await startTestEdge(origin)
    assert.equal((await ask(edge.port, { agent: false })).statusCode, 200)
    assert.equal((await ask(edge.port, { agent: false, method })).statusCode, status)
    assert.equal(connections, method === 'GET' ? 2 : 1)
  })
}

test('proxy: a client that goes away ends the request at the origin', async () => {
  const arrived = Promise.withResolvers<IncomingMessage>()
  await using edge = await startTestEdge((request) => arrived.resolve(request))
  const socket = connect(edge.port, '127.0.0.1')
  socket.write(GET)
  const request = await arrived.promise
  socket.destroy()
  await once(request.socket, 'close')
  assert.equal(edge.proxy.active, 0)
})

test('proxy: a client that goes away in its upload ends the request at the origin, unfinished', async () => {
  const arrived = Promise.withResolvers<IncomingMessage>()
  await using edge = await startTestEdge((request) => {
    request.on('error', () => {}).resume()
    arrived.resolve(request)
  })
  const socket = connect(edge.port, '127.0.0.1')
  socket.write('POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 10\r\n\r\nabc')
  const request = await arrived.promise
  socket.destroy()
  await new Promise((resolve) => request.once('close', resolve))
  assert.equal(request.complete, false)
})

for (const [name, head] of [
  ['with a length', 'Content-Length: 10\r\n\r\nabc'],
  ['in chunks', 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'],
] as const) {
  test(`proxy: a response ${name} that breaks off breaks the client's connection`, async () => {
    const origin = createNetServer((socket) => {
      socket.once('data', () =>
        socket.write(`HTTP/1.1 200 OK\r\n${head}`, () => setImmediate(() => socket.destroy())),
      )
    })
    await using edge = await startTestEdge(origin)
    await assert.rejects(ask(edge.port, { agent: false }), { code: 'ECONNRESET' })
    // The client can learn of it before the line is written.
    while (!edge.log.some(({ level }) => level === 'warning')) await sleep(1)
    assert.match(
      edge.log.find(({ level }) => level === 'warning')?.text ?? '',
      /ERR_EDGE_ORIGIN_BROKEN: aborted/,
    )
  })
}

for (const [name, bytes] of [
  ['closes without a word', ''],
  ['does not speak HTTP', 'SSH-2.0-OpenSSH\r\n'],
  [
    'frames its response in two ways',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  [
    'switches protocols unasked',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
  ],
  [
    'switches protocols unasked and to nothing: a 101 must not pass for the last word',
    'HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  ],
] as const) {
  test(`proxy: an origin that ${name} is a 502`, async () => {
    const origin = createNetServer((socket) => {
      socket.on('error', () => {}).once('data', () => socket.end(bytes))
    })
    await using edge = await startTestEdge(origin)
    const response = await ask(edge.port, { agent: false })
    assert.equal(response.statusCode, 502)
    assert.match(response.text, /^502 Bad Gateway: the origin broke off/)
  })
}

test('proxy: an origin that says nothing is a 504', async () => {
  await using edge = await startTestEdge(() => {}, { originIdleMs: 60 })
  const response = await ask(edge.port, { agent: false })
  assert.equal(response.statusCode, 504)
  assert.match(response.text, /did not answer in time/)
})

test('proxy: an origin that stops in its response breaks the connection', async () => {
  await using edge = await startTestEdge((_request, response) => void response.write('a'), {
    originIdleMs: 60,
  })
  await assert.rejects(ask(edge.port, { agent: false }), { code: 'ECONNRESET' })
})

test('proxy: an upload that stops is a 408, and lingers no longer than allowed', async () => {
  await using edge = await startTestEdge((request) => void request.resume(), {
    originIdleMs: 60,
    lingerMs: 60,
  })
  const received = await edge.exchange('POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 10\r\n\r\nabc')
  assert.match(received, /^HTTP\/1.1 408 /)
})

test('proxy: an origin that never finishes its own TLS handshake is a 504', async () => {
  const origin = createNetServer((socket) => void socket.on('error', () => {}).resume())
  origin.listen(0, '127.0.0.1')
  await once(origin, 'listening')
  const url = new URL(`https://127.0.0.1:${(origin.address() as AddressInfo).port}`)
  await using edge = await startTestEdge(url, { originConnectMs: 60 })
  const response = await ask(edge.port, { agent: false })
  origin.close()
  assert.equal(response.statusCode, 504)
  assert.match(response.text, /did not accept the connection in time/)
})

test('proxy: a request that finds every place taken is a 503, one that gets none in time too', async () => {
  const limits = { originSockets: 1, originQueue: 1, originConnectMs: 80 }
  await using edge = await startTestEdge((request, response) => {
    if (request.url === '/fast') response.end('fast')
  }, limits)
  const stuck = connect(edge.port, '127.0.0.1')
  stuck.write(GET)
  while (edge.proxy.active < 1) await sleep(2)
  const queued = ask(edge.port, { agent: false, path: '/fast' })
  while (edge.proxy.active < 2) await sleep(2)
  const refused = await ask(edge.port, { agent: false, path: '/fast' })
  assert.equal(refused.statusCode, 503)
  assert.equal(edge.proxy.active, 2, 'refused at once, before the queued one')
  assert.equal((await queued).statusCode, 503)
  stuck.destroy()
  while (edge.proxy.active > 0) await sleep(2)
  assert.equal(
    (await ask(edge.port, { agent: false, path: '/fast' })).text,
    'fast',
    'the places are given back',
  )
})

test('proxy: one client takes every connection to an origin: it gets its share, others get theirs', async () => {
  await using edge = await startTestEdge(
    (request, response) => {
      if (request.url === '/fast') response.end('fast')
    },
    { maxPerClient: 2, originSockets: 3, originQueue: 0, originConnectMs: 1000 },
  )
  const addresses = ['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8:0:1::1', '2001:db8::4']
  edge.server.on('connection', (socket) =>
    Object.defineProperty(socket, 'remoteAddress', { value: addresses.shift() }),
  )
  const stuck = [connect(edge.port, '127.0.0.1'), connect(edge.port, '127.0.0.1')]
  for (const socket of stuck) socket.write(GET)
  while (edge.proxy.active < 2) await sleep(1)
  const refused = await ask(edge.port, { agent: false, path: '/fast' })
  assert.equal(refused.statusCode, 429)
  assert.match(refused.text, /^429 Too Many Requests: too many requests at once from this address/)
  assert.equal((await ask(edge.port, { agent: false, path: '/fast' })).text, 'fast', 'another /64')
  for (const socket of stuck) socket.destroy()
  while (edge.proxy.active > 0) await sleep(1)
  assert.equal((await ask(edge.port, { agent: false, path: '/fast' })).text, 'fast', 'given back')
})

test('proxy: slow post: uploads of a byte now and then do not keep the connections to an origin', async () => {
  const limits = { originSockets: 4, clientBytesPerSecond: 1000, uploadGraceMs: 200, originConnectMs: 3000 }
  await using edge = await startTestEdge((request, response) => {
    request.resume().on('end', () => response.end('served'))
  }, limits)
  const head = 'POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100000\r\n\r\n'
  const attackers = Array.from({ length: 4 }, () => attack(edge.port, head))
  while (edge.proxy.active < 4) await sleep(1)
  const feeding = setInterval(() => attackers.forEach(({ socket }) => socket.write('x')), 20)
  assert.equal((await ask(edge.port, { agent: false })).text, 'served')
  await Promise.all(attackers.map(({ answered }) => answered))
  clearInterval(feeding)
  for (const { socket, received } of attackers) {
    assert.match(received(), /^HTTP\/1.1 408 /)
    socket.destroy()
  }
  const line = edge.log.find(({ fields }) => fields['code'] === 'ERR_EDGE_CLIENT_SLOW')
  assert.deepEqual([line?.level, line?.text], ['info', 'site.test: 127.0.0.1: ERR_EDGE_CLIENT_SLOW: upload'])
})

test('proxy: slow post: an answer that has begun is broken off', async () => {
  const limits = { clientBytesPerSecond: 1000, uploadGraceMs: 100 }
  await using edge = await startTestEdge((request, response) => {
    request.on('error', () => {}).pipe(response)
  }, limits)
  const head = 'POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100000\r\n\r\nx'
  const { socket, received } = attack(edge.port, head)
  await new Promise((resolve) => socket.once('close', resolve))
  assert.match(received(), /^HTTP\/1.1 200 OK[\s\S]*\r\n1\r\nx\r\n$/)
})

test('proxy: slow read: readers of a little now and then do not keep the connections to an origin', async () => {
  const limits = {
    originSockets: 2,
    clientBytesPerSecond: 100_000_000,
    downloadGraceMs: 200,
    originConnectMs: 3000,
  }
  const chunk = Buffer.alloc(64 * 1024)
  await using edge = await startTestEdge((request, response) => {
    if (request.url === '/fast') response.end('served')
    else endless(chunk).pipe(response)
  }, limits)
  const attackers = Array.from({ length: 2 }, () => attack(edge.port, GET).socket.pause())
  while (edge.proxy.active < 2) await sleep(1)
  const reading = setInterval(() => attackers.forEach((socket) => socket.read(1000)), 20)
  assert.equal((await ask(edge.port, { agent: false, path: '/fast' })).text, 'served')
  while (edge.proxy.active > 0) await sleep(1)
  clearInterval(reading)
  for (const socket of attackers) socket.destroy()
  const line = edge.log.find(({ fields }) => fields['code'] === 'ERR_EDGE_CLIENT_SLOW')
  assert.equal(line?.text, 'site.test: 127.0.0.1: ERR_EDGE_CLIENT_SLOW: download')
})

test('proxy: who waits for the origin is not slow', async () => {
  const limits = { clientBytesPerSecond: 1_000_000, uploadGraceMs: 80, downloadGraceMs: 80 }
  await using edge = await startTestEdge(async (request, response) => {
    // Its upload is not read, no byte of the answer comes; then the body is read and the answer trickles.
    await sleep(240)
    let length = 0
    for await (const part of request) length += (part as Buffer).length
    response.write(`got ${length}`)
    for (let count = 0; count < 6; count++) {
      await sleep(40)
      response.write('.')
    }
    response.end()
  }, limits)
  const size = 32 * 1024 * 1024
  const body = Readable.from([Buffer.alloc(size)])
  const headers = { host: 'site.test', 'content-length': size }
  const response = await ask(edge.port, { agent: false, method: 'POST', headers }, body)
  assert.equal(response.text, `got ${size}......`)
})

test('proxy: who waits for a 100 is not slow, who got it and sends nothing is', async () => {
  const origin = createServer()
  origin.on('checkContinue', (request, response) => {
    setTimeout(() => {
      if (request.url === '/no') response.writeHead(413).end()
      else response.writeContinue()
    }, 240)
  })
  await using edge = await startTestEdge(origin, { clientBytesPerSecond: 1000, uploadGraceMs: 80 })
  const head = (path: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: site.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n`
  assert.match(await edge.exchange(head('/no'), '\r\n\r\n'), /^HTTP\/1.1 413 /)
  assert.match(await edge.exchange(head('/yes'), ' 408 '), /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 408 /)
})

function endless(chunk: Buffer): Readable {
  return new Readable({
    read() {
      this.push(chunk)
    },
  })
}

/** A client that sends `text` and is not surprised to be cut off. */
function attack(
  port: number,
  text: string,
): { socket: Socket; received: () => string; answered: Promise<unknown> } {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  const answered = once(socket, 'data')
  answered.catch(() => {})
  socket.setEncoding('latin1').on('error', () => {})
  socket.on('data', (part: string) => {
    received += part
  })
  socket.write(text)
  return { socket, received: () => received, answered }
}

test('proxy: an early answer reaches a client that is still sending, and the connection is not a sink', async () => {
  await using edge = await startTestEdge(
    (_request, response) => response.writeHead(413, { connection: 'close' }).end('too large'),
    { lingerMs: 80 },
  )
  const socket = connect(edge.port, '127.0.0.1')
  let received = ''
  socket.setEncoding('latin1').on('data', (part: string) => {
    received += part
  })
  socket.on('error', () => {})
  socket.write('POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100000000\r\n\r\n')
  const feeding = setInterval(() => socket.write('x'.repeat(1000)), 10)
  // It ends with a reset: the edge has stopped to read.
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(feeding)
  assert.match(received, /^HTTP\/1.1 413 [\s\S]*too large/)
})

test('proxy: more pipelined requests than allowed are refused', async () => {
  await using edge = await startTestEdge(
    (_request, response) => void setTimeout(() => response.end('ok'), 20),
    {
      maxPipelined: 2,
    },
  )
  const one = 'GET / HTTP/1.1\r\nHost: site.test\r\n\r\n'
  const received = await edge.exchange(`${one}${one}${GET}`)
  assert.deepEqual(received.match(/HTTP\/1.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 503'])
})

for (const [name, fields] of [
  ['CONNECT', ''],
  ['CONNECT with a body to come', 'Content-Length: 5\r\n'],
] as const) {
  test(`proxy: response desync: a pipelined ${name} is not answered before the requests in front of it`, async () => {
    const bothArrived = Promise.withResolvers<void>()
    let asked = 0
    await using edge = await startTestEdge(
      (request, response) => {
        if (request.url === '/fast') response.end('fast')
        else if (++asked === 2) bothArrived.resolve()
      },
      { originSockets: 2, originQueue: 0 },
    )
    const slow = 'GET / HTTP/1.1\r\nHost: site.test\r\n\r\n'
    const connecting = `CONNECT x.test:1 HTTP/1.1\r\nHost: x.test:1\r\n${fields}\r\n`
    const client = connect(edge.port, '127.0.0.1')
    let received = ''
    client.on('error', () => {}).on('data', (part: Buffer) => (received += part.toString()))
    client.write(slow + slow)
    await bothArrived.promise
    client.write(connecting)
    await new Promise((resolve) => client.once('close', resolve))
    assert.equal(received, '', 'a 405 would pass for the answer to GET')
    // Each of them holds one of the two places at the origin.
    while (edge.proxy.active > 0) await sleep(1)
    assert.equal((await ask(edge.port, { agent: false, path: '/fast' })).text, 'fast')
  })
}

test('proxy: a CONNECT does not keep a connection open whose client does not close', async () => {
  await using edge = await startTestEdge(() => {})
  const accepted = once(edge.server, 'connection')
  const client = connect({ port: edge.port, host: '127.0.0.1', allowHalfOpen: true })
  client.resume().write('CONNECT x.test:1 HTTP/1.1\r\nHost: x.test:1\r\n\r\n')
  const [socket] = (await accepted) as [Socket]
  await new Promise((resolve) => socket.once('close', resolve))
  client.destroy()
})

test('proxy: OPTIONS reaches the origin, or the edge if that is as far as it may go', async () => {
  await using edge = await startTestEdge((request, response) => response.end(`origin ${request.url}`))
  const options = (field: string): string =>
    `OPTIONS * HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n${field}\r\n`
  assert.match(await edge.exchange(options('')), /origin \*/)
  assert.match(
    await edge.exchange(options('Max-Forwards: 0\r\n')),
    /^HTTP\/1.1 204 No Content\r\nAllow: GET, /,
  )
})

test('proxy: draining lets the request under way finish, then closes its connection', async () => {
  const release = Promise.withResolvers<void>()
  await using edge = await startTestEdge(async (_request, response) => {
    await release.promise
    response.end('late but whole')
  })
  const received = edge.exchange('GET / HTTP/1.1\r\nHost: site.test\r\n\r\n')
  while (edge.proxy.active < 1) await sleep(2)
  const drained = edge.proxy.drain()
  release.resolve()
  await drained
  assert.match(await received, /^HTTP\/1.1 200 OK\r\n[\s\S]*Connection: close\r\n[\s\S]*late but whole/)
  assert.equal(edge.proxy.active, 0)
})

test('proxy: 64 MB pass in each direction with a bounded buffer, at the pace of the slower side', async () => {
  const total = 64 * 1024 * 1024
  await using edge = await startTestEdge((request, response) => {
    response.writeHead(200, ['Content-Length', String(total)])
    request.pipe(response)
  })
  const chunk = Buffer.alloc(64 * 1024, 7)
  let produced = 0
  const source = new Readable({
    read() {
      produced += chunk.length
      this.push(produced > total ? null : chunk)
    },
  })
  const request = httpRequest({
    port: edge.port,
    method: 'POST',
    headers: { host: 'site.test', 'content-length': total },
    agent: new Agent(),
  })
  const sent = pipeline(source, request)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  // Nobody reads: what is on its way must stay in socket buffers, not in the edge.
  await sleep(150)
  assert.ok(produced < total / 2, `${produced} bytes were taken from a sender whose reader does not read`)
  let received = 0
  for await (const part of response) received += (part as Buffer).length
  await sent
  assert.equal(received, total)
})

test('proxy: the access line has status and duration, and no query', async () => {
  await using edge = await startTestEdge((_request, response) => response.end('ok'))
  await ask(edge.port, { path: '/page?token=secret' })
  while (edge.proxy.active > 0) await sleep(1)
  const line = edge.log.find(({ level }) => level === 'debug')
  assert.match(line?.text ?? '', /^GET site\.test\/page 200 \d+ms$/)
  assert.equal(JSON.stringify(edge.log).includes('secret'), false)
})

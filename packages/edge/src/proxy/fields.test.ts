import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ClientFacts, requestFields, responseFields, trailerFields } from './fields.ts'

const client: ClientFacts = {
  address: '192.0.2.1',
  scheme: 'https',
  authority: 'example.com:8443',
  httpVersion: '1.1',
}
const SAID = [
  'Via',
  '1.1 latchkey',
  'Forwarded',
  'for=192.0.2.1;host="example.com:8443";proto=https',
  'X-Forwarded-For',
  '192.0.2.1',
  'X-Forwarded-Host',
  'example.com:8443',
  'X-Forwarded-Proto',
  'https',
]

interface Row {
  name: string
  received: string[]
  kept: string[]
}

const REQUESTS: Row[] = [
  {
    name: 'ordinary fields keep case, order, repeats',
    received: ['accept', '*/*', 'Cookie', 'a=1', 'cookie', 'b=2'],
    kept: ['accept', '*/*', 'Cookie', 'a=1', 'cookie', 'b=2'],
  },
  {
    name: 'connection, keep-alive',
    received: ['Connection', 'keep-alive', 'Keep-Alive', 'timeout=5'],
    kept: [],
  },
  {
    name: 'what connection names',
    received: ['X-Secret', '1', 'connection', 'X-Secret , close', 'X-Open', '2'],
    kept: ['X-Open', '2'],
  },
  {
    name: 'what two connection fields name',
    received: ['Connection', 'a', 'A', '1', 'Connection', 'b', 'b', '2'],
    kept: [],
  },
  {
    name: 'te, upgrade, proxy-*',
    received: ['TE', 'trailers', 'Upgrade', 'h2c', 'Proxy-Connection', 'x', 'Proxy-Authorization', 'Basic x'],
    kept: [],
  },
  {
    name: 'framing is never copied',
    received: [
      'Content-Length',
      '5',
      'Transfer-Encoding',
      'chunked',
      'transfer_encoding',
      'chunked',
      'Content_Length',
      '9',
    ],
    kept: [],
  },
  {
    name: 'a client cannot forge where it comes from',
    received: [
      'Forwarded',
      'for=1.1.1.1',
      'X-Forwarded-For',
      '1.1.1.1',
      'x-forwarded-ssl',
      'on',
      'X_Forwarded_For',
      '1.1.1.1',
      'X-Real-IP',
      '1.1.1.1',
    ],
    kept: [],
  },
  { name: 'httpoxy', received: ['Proxy', 'http://evil.example'], kept: [] },
  {
    name: 'host is said once, by the edge',
    received: ['Host', 'other.example', 'HOST', 'third.example'],
    kept: [],
  },
  { name: 'an earlier via stays', received: ['Via', '1.0 fred'], kept: ['Via', '1.0 fred'] },
  {
    name: 'expect goes to the origin',
    received: ['Expect', '100-continue'],
    kept: ['Expect', '100-continue'],
  },
  { name: 'max-forwards ends here', received: ['Max-Forwards', '3'], kept: [] },
]

for (const { name, received, kept } of REQUESTS) {
  test(`request fields: ${name}`, () => {
    assert.deepEqual(requestFields(received, { kind: 'none' }, client), [
      'Host',
      client.authority,
      ...kept,
      ...SAID,
    ])
  })
}

test('request fields: connection cannot take away what the edge says', () => {
  const received = ['Connection', 'Host, Content-Length, X-Forwarded-For, Forwarded, Via']
  assert.deepEqual(requestFields(received, { kind: 'length', length: '5' }, client), [
    'Host',
    client.authority,
    'Content-Length',
    '5',
    ...SAID,
  ])
})

test('request fields: framing is written by the edge', () => {
  const chunked = requestFields(['Content-Length', '3'], { kind: 'chunked' }, client)
  assert.deepEqual(chunked.slice(2, 4), ['Transfer-Encoding', 'chunked'])
  assert.equal(chunked.includes('Content-Length'), false)
})

for (const [address, node, plain] of [
  ['::ffff:192.0.2.9', '192.0.2.9', '192.0.2.9'],
  ['2001:db8::1', '"[2001:db8::1]"', '2001:db8::1'],
  [undefined, 'unknown', undefined],
] as const) {
  test(`request fields: a client at ${address}`, () => {
    const fields = requestFields([], { kind: 'none' }, { ...client, address })
    assert.equal(fields[fields.indexOf('Forwarded') + 1], `for=${node};host="example.com:8443";proto=https`)
    assert.equal(plain === undefined ? undefined : fields[fields.indexOf('X-Forwarded-For') + 1], plain)
    assert.equal(fields.includes('X-Forwarded-For'), plain !== undefined)
  })
}

const RESPONSES: Row[] = [
  {
    name: 'ordinary fields keep case, order, repeats',
    received: ['set-cookie', 'a', 'Set-Cookie', 'b'],
    kept: ['set-cookie', 'a', 'Set-Cookie', 'b'],
  },
  {
    name: 'hop-by-hop and named',
    received: [
      'Connection',
      'close, X-Hop',
      'X-Hop',
      '1',
      'Keep-Alive',
      'timeout=5',
      'Transfer-Encoding',
      'chunked',
      'Upgrade',
      'h2c',
      'ETag',
      '"1"',
    ],
    kept: ['ETag', '"1"'],
  },
  {
    name: 'length stays, whatever connection says',
    received: ['Connection', 'content-length', 'Content-Length', '7'],
    kept: ['Content-Length', '7'],
  },
]

for (const { name, received, kept } of RESPONSES) {
  test(`response fields: ${name}`, () => assert.deepEqual(responseFields(received), kept))
}

test('trailers: what routes, frames or authenticates stays out', () => {
  const received = [
    'Digest',
    'x',
    'Host',
    'evil',
    'Content-Length',
    '1',
    'Authorization',
    'x',
    'X_Forwarded_For',
    '1.1.1.1',
    'Set-Cookie',
    'a=1',
  ]
  assert.deepEqual(trailerFields(received), [['Digest', 'x']])
})

// What each opcode is answered, and what is logged about it.
import assert from 'node:assert/strict'
import { verify } from 'node:crypto'
import { test } from 'node:test'
import { formatTextLine } from '@latchkey/core'
import type { PrivateKey } from '@latchkey/keys'
import { encodePacket, OPCODES, opcodeRow } from '@latchkey/wire'
import { type KeyServerOptions, SealingKeys } from '../src/index.ts'
import { errorByte, text } from './support/test-client.ts'
import { RemoteKey, storeOf, testKey } from './support/test-keys.ts'
import { startServer } from './support/test-server.ts'

const RSA = testKey('rsa2048')
const P256 = testKey('p256')
const ED25519 = testKey('ed25519')
const KEYS: Readonly<Record<string, PrivateKey>> = { rsa: RSA, ec: P256, ed25519: ED25519 }
const NO_SUCH_SKI = new Uint8Array(20).fill(0xee)
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/

/** What a request without key and payload is answered: an error byte, or the opcode of a pong. */
function expectedAnswer(opcode: number): { error?: number; opcode?: number } {
  const kind = opcodeRow(opcode)?.kind
  if (kind === 'ping') return { opcode: OPCODES.OpPong.code }
  if (kind === undefined || kind === 'custom') return { error: 5 }
  if (kind === 'response' || kind === 'pong' || kind === 'error') return { error: 6 }
  return { error: 8 }
}

test('all 256 opcodes, with no key named', async (t) => {
  const { connect } = await startServer(t)
  const client = await connect()
  client.send(...Array.from({ length: 256 }, (_, opcode) => encodePacket(opcode, { opcode })))
  const packets = await client.replies(256)
  for (const packet of packets) {
    const { error, opcode } = expectedAnswer(packet.id)
    assert.equal(errorByte(packet), error, `opcode ${packet.id}`)
    if (opcode !== undefined) assert.equal(packet.operation.opcode, opcode)
  }
  // 256 in all: 17 key operations and three services without a key, three replies, one ping.
  const counts = [5, 6, 8, undefined].map(
    (error) => packets.filter((each) => errorByte(each) === error).length,
  )
  assert.deepEqual(counts, [232, 3, 20, 1])
})

test('a packet without an opcode is a bad opcode', async (t) => {
  const client = await (await startServer(t)).connect()
  client.send(Buffer.from('0100000000000009', 'hex'))
  assert.equal(errorByte(await client.reply(9)), 5)
})

for (const row of Object.values(OPCODES)) {
  if (row.kind !== 'sign' && row.kind !== 'decrypt') continue
  const name = row.kind === 'sign' ? row.signatureAlgorithm : 'raw decryption'
  for (const [keyType, key] of Object.entries(KEYS)) {
    const isRight = keyType === row.keyType
    test(`${name} with a key of ${keyType}: ${isRight ? 'answered' : 'error 1'}`, async (t) => {
      const client = await (await startServer(t, { keyStore: storeOf(key) })).connect()
      const length = row.kind === 'sign' ? (row.digestBytes ?? 100) : 256
      const payload = new Uint8Array(length).fill(0x31)
      const reply = await client.ask(1, { opcode: row.code, ski: key.ski, payload })
      assert.equal(errorByte(reply), isRight ? undefined : 1)
      if (isRight) assert.equal(reply.operation.opcode, OPCODES.OpResponse.code)
    })
  }
  if (row.kind !== 'sign' || row.digestBytes === undefined) continue
  const { digestBytes } = row
  test(`${name}: a digest of any other length is error 1`, async (t) => {
    const key = KEYS[row.keyType] as PrivateKey
    const client = await (await startServer(t, { keyStore: storeOf(key) })).connect()
    for (const [id, length] of [0, digestBytes - 1, digestBytes + 1, 1000].entries()) {
      const payload = new Uint8Array(length)
      assert.equal(errorByte(await client.ask(id, { opcode: row.code, ski: key.ski, payload })), 1)
    }
  })
}

test('an Ed25519 message of 60000 bytes is signed', async (t) => {
  const client = await (await startServer(t, { keyStore: storeOf(ED25519) })).connect()
  const payload = new Uint8Array(60_000).fill(5)
  const { operation } = await client.ask(1, { opcode: OPCODES.OpEd25519Sign.code, ski: ED25519.ski, payload })
  assert.ok(verify(null, payload, ED25519.publicKey, operation.payload ?? assert.fail()))
})

test('the largest ping comes back whole, an empty one without a payload', async (t) => {
  const client = await (await startServer(t)).connect()
  const payload = new Uint8Array(65_528).fill(6)
  const { operation } = await client.ask(1, { opcode: OPCODES.OpPing.code, payload })
  assert.deepEqual(operation.payload, payload)
  assert.equal((await client.ask(2, { opcode: OPCODES.OpPing.code })).operation.payload, undefined)
})

test('the SKI alone finds a key: server name, digest and addresses do not', async (t) => {
  const client = await (await startServer(t, { keyStore: storeOf(P256) })).connect()
  const opcode = OPCODES.OpECDSASignSHA256.code
  const payload = new Uint8Array(32)
  const hints = {
    digest: P256.ski.slice(0, 0),
    serverName: text('a.example'),
    serverIp: Uint8Array.of(192, 0, 2, 1),
  }
  const { digest: _, ...usable } = hints
  assert.equal(errorByte(await client.ask(1, { opcode, payload, ...usable, certId: text('x') })), 8)
  const unrelated = { ski: P256.ski, serverName: text('unrelated.example') }
  assert.equal(errorByte(await client.ask(2, { opcode, payload, ...unrelated })), undefined)
})

const MISSING: readonly { option: Partial<KeyServerOptions>; error: number }[] = [
  { option: {}, error: 8 },
  { option: { missingSki: 'internal' }, error: 8 },
  { option: { missingSki: 'key-not-found' }, error: 2 },
]
for (const { option, error } of MISSING) {
  test(`no SKI, a wrong or zero one: error ${error} with ${JSON.stringify(option)}`, async (t) => {
    const client = await (await startServer(t, { keyStore: storeOf(P256), ...option })).connect()
    const opcode = OPCODES.OpECDSASignSHA256.code
    const payload = new Uint8Array(32)
    assert.equal(errorByte(await client.ask(1, { opcode, payload })), error)
    // opcode item, then an SKI item of 19 bytes, and one of 20 zeros
    client.send(Buffer.from(`0100001a00000002110001${opcode.toString(16)}040013${'11'.repeat(19)}`, 'hex'))
    assert.equal(errorByte(await client.reply(2)), error)
    client.send(Buffer.from(`0100001b00000003110001${opcode.toString(16)}040014${'00'.repeat(20)}`, 'hex'))
    assert.equal(errorByte(await client.reply(3)), error)
  })
}

/** Each row: a key store that misbehaves, and the error its client gets. */
const BROKEN: readonly {
  name: string
  find: () => PrivateKey | Promise<PrivateKey | undefined>
  error: number
}[] = [
  {
    name: 'throws',
    find: () => {
      throw new Error('store on fire')
    },
    error: 8,
  },
  { name: 'rejects', find: () => Promise.reject(new Error('store on fire')), error: 8 },
  { name: 'finds nothing later', find: () => Promise.resolve(undefined), error: 2 },
  {
    name: 'finds a key that throws',
    find: () =>
      broken(() => {
        throw new Error('slot empty')
      }),
    error: 1,
  },
  {
    name: 'finds a key that rejects',
    find: () => broken(() => Promise.reject(new Error('slot empty'))),
    error: 1,
  },
  { name: 'finds a key that answers nothing', find: () => broken(() => new Uint8Array(0)), error: 1 },
  { name: 'finds a key that answers too much', find: () => broken(() => new Uint8Array(70_000)), error: 8 },
  { name: 'finds a key of no algorithms', find: () => broken(() => new Uint8Array(9), new Set()), error: 1 },
]
for (const { name, find, error } of BROKEN) {
  test(`a key store that ${name}: error ${error}, and the connection goes on`, async (t) => {
    const { connect, log } = await startServer(t, { keyStore: { find } })
    const client = await connect()
    const ask = { opcode: OPCODES.OpECDSASignSHA256.code, payload: new Uint8Array(32), ski: P256.ski }
    assert.equal(errorByte(await client.ask(1, ask)), error)
    assert.equal(errorByte(await client.ask(2, { opcode: OPCODES.OpPing.code })), undefined)
    assert.equal(log.lines('error').length, 1)
  })
}

function broken(
  sign: PrivateKey['sign'],
  algorithms: PrivateKey['algorithms'] = P256.algorithms,
): PrivateKey {
  const { ski, keyType, publicKey, source } = P256
  return { ski, keyType, publicKey, source, algorithms, sign }
}

test('a key store that decrypts and strips the padding is no padding oracle: error 1', async (t) => {
  const { ski, keyType, publicKey, source, algorithms } = RSA
  const sign = (): Uint8Array => new Uint8Array(256)
  const stripping: PrivateKey = {
    ski,
    keyType,
    publicKey,
    source,
    algorithms,
    sign,
    decryptRaw: () => new Uint8Array(48),
  }
  const cannot: PrivateKey = { ski: P256.ski, keyType, publicKey, source, algorithms, sign }
  const client = await (await startServer(t, { keyStore: storeOf(stripping, cannot) })).connect()
  const payload = new Uint8Array(256)
  assert.equal(errorByte(await client.ask(1, { opcode: OPCODES.OpRSADecrypt.code, ski, payload })), 1)
  assert.equal(
    errorByte(await client.ask(2, { opcode: OPCODES.OpRSADecrypt.code, ski: P256.ski, payload })),
    1,
  )
})

test('a decrypted premaster secret is not left in the array that the key store answered', async (t) => {
  const { ski, keyType, publicKey, source, algorithms } = RSA
  const answers = [256, 48].map((length) => new Uint8Array(length).fill(0xa5)) // the second is refused
  const key: PrivateKey = {
    ski,
    keyType,
    publicKey,
    source,
    algorithms,
    sign: () => new Uint8Array(256),
    decryptRaw: (ciphertext) => answers[ciphertext[0] ?? 0] ?? new Uint8Array(),
  }
  const client = await (await startServer(t, { keyStore: storeOf(key) })).connect()
  const ask = (which: number): ReturnType<typeof client.ask> =>
    client.ask(which, { opcode: OPCODES.OpRSADecrypt.code, ski, payload: new Uint8Array(256).fill(which) })
  assert.deepEqual((await ask(0)).operation.payload, new Uint8Array(256).fill(0xa5))
  assert.equal(errorByte(await ask(1)), 1)
  for (const answer of answers) assert.ok(answer.every((byte) => byte === 0))
})

test('a decrypted premaster secret that comes after its deadline is wiped', async (t) => {
  const { ski, keyType, publicKey, source, algorithms } = RSA
  const { promise, resolve } = Promise.withResolvers<Uint8Array>()
  const sign = (): Uint8Array => new Uint8Array(256)
  const key: PrivateKey = { ski, keyType, publicKey, source, algorithms, sign, decryptRaw: () => promise }
  const { connect } = await startServer(t, { keyStore: storeOf(key), limits: { operationTimeoutMs: 50 } })
  const client = await connect()
  const ask = { opcode: OPCODES.OpRSADecrypt.code, ski, payload: new Uint8Array(256) }
  assert.equal(errorByte(await client.ask(1, ask)), 1)
  const late = new Uint8Array(256).fill(0xa5)
  resolve(late)
  await client.ask(2, { opcode: OPCODES.OpPing.code })
  assert.ok(late.every((byte) => byte === 0))
})

test('a signature that fails is tried again as often as is said, within the time for one operation', async (t) => {
  const key = new RemoteKey()
  const { connect } = await startServer(t, {
    keyStore: storeOf(key),
    signRetries: 2,
    limits: { operationTimeoutMs: 300 },
  })
  const client = await connect()
  const ask = { opcode: OPCODES.OpECDSASignSHA256.code, ski: key.ski, payload: new Uint8Array(32) }
  for (const [id, failures] of [2, 3].entries()) {
    const reply = client.ask(id, ask)
    for (let count = 1; count <= failures; count++) {
      await key.asked(id * 3 + count)
      key.questions.at(-1)?.fail(new Error('the session was closed'))
    }
    if (failures === 2) {
      await key.asked(3)
      key.questions.at(-1)?.answer(Uint8Array.of(1))
    }
    assert.equal(errorByte(await reply), failures === 2 ? undefined : 1)
  }
  const late = client.ask(9, ask)
  await key.asked(7)
  assert.equal(errorByte(await late), 1)
  key.questions.at(-1)?.fail(new Error('too late'))
  await client.ask(10, { opcode: OPCODES.OpPing.code })
  assert.equal(key.questions.length, 7)
})

test('denial refuses as if the key were not there, and sees who asks for what', async (t) => {
  const seen: string[] = []
  const { connect, log } = await startServer(t, {
    keyStore: storeOf(P256),
    denial: ({ request, operation, key }) => {
      const { subject } = request.client.chain[0] ?? assert.fail()
      seen.push(`${subject} ${key?.source} ${operation.code} ${request.serverName}`)
      return request.serverName === 'allowed.example' ? undefined : 'not this name'
    },
  })
  const client = await connect()
  const ask = { opcode: OPCODES.OpECDSASignSHA256.code, payload: new Uint8Array(32), ski: P256.ski }
  const denied = await client.ask(1, { ...ask, serverName: text('other.example') })
  const absent = await client.ask(1, { ...ask, ski: NO_SUCH_SKI })
  assert.deepEqual(denied, absent, 'no byte tells one from the other')
  assert.equal(errorByte(denied), 2)
  await log.line(/^failed to load key with sni= other\.example .*: denied by policy: not this name$/)
  assert.equal(errorByte(await client.ask(2, { ...ask, serverName: text('allowed.example') })), undefined)
  // What kind of key it is, is not for everyone to know either.
  const wrongKind = { ...ask, opcode: OPCODES.OpRSASignSHA256.code, serverName: text('other.example') }
  assert.equal(errorByte(await client.ask(3, wrongKind)), 2)
  assert.equal(errorByte(await client.ask(4, { opcode: OPCODES.OpPing.code })), undefined)
  assert.deepEqual(seen, [
    'CN=edge one test key p256 21 other.example',
    'CN=edge one test key p256 21 allowed.example',
    'CN=edge one test key p256 5 other.example',
  ])
})

test('denial is asked about sealing too, and denies if it throws', async (t) => {
  const { connect } = await startServer(t, {
    keyStore: storeOf(P256),
    sealing: new SealingKeys({ secrets: [new Uint8Array(32)], rotationSeconds: 60, keptRotations: 1 }),
    denial: () => {
      throw new Error('no policy')
    },
  })
  const client = await connect()
  const ask = { opcode: OPCODES.OpECDSASignSHA256.code, payload: new Uint8Array(32), ski: P256.ski }
  assert.equal(errorByte(await client.ask(1, ask)), 2)
  assert.equal(errorByte(await client.ask(2, { opcode: OPCODES.OpSeal.code, payload: text('x') })), 2)
  assert.equal(errorByte(await client.ask(3, { opcode: OPCODES.OpPing.code })), undefined)
})

test('the line of a key request names the key, found or not', async (t) => {
  const { connect, log } = await startServer(t, { keyStore: storeOf(P256) })
  const client = await connect()
  const ask = { opcode: OPCODES.OpECDSASignSHA256.code, payload: new Uint8Array(32) }
  await client.ask(1, { ...ask, ski: P256.ski })
  await client.ask(2, { ...ask, ski: NO_SUCH_SKI })
  assert.deepEqual(
    log.lines('info').filter((line) => line.includes('SKI')),
    [`fetch key with SKI: ${P256.ski.toHex()}`, `no key with SKI: ${NO_SUCH_SKI.toHex()}`],
  )
})

test('a key that is not there is logged with what the client said', async (t) => {
  const { connect, log } = await startServer(t)
  const client = await connect()
  await client.ask(1, {
    opcode: OPCODES.OpECDSASignSHA256.code,
    payload: new Uint8Array(32),
    ski: NO_SUCH_SKI,
    serverName: text('a.example'),
    serverIp: Uint8Array.of(192, 0, 2, 1),
    requestContext: text('{"request_id":"ray-17"}'),
  })
  assert.deepEqual(log.lines('error'), [
    `failed to load key with sni= a.example ip= 192.0.2.1 ski= ${NO_SUCH_SKI.toHex()} request-id= ray-17: no key with SKI ${NO_SUCH_SKI.toHex()}`,
  ])
})

test('an operation that failed is logged with client, server name, key and request id', async (t) => {
  const { connect, log } = await startServer(t, { keyStore: storeOf(P256) })
  const client = await connect()
  await client.ask(1, {
    opcode: OPCODES.OpRSASignSHA256.code,
    payload: new Uint8Array(32),
    ski: P256.ski,
    serverName: text('a.example'),
    certId: text('cert-9'),
    requestContext: text('{"request_id":"ray-18"}'),
  })
  const [line = ''] = log.lines('error')
  const pattern = new RegExp(
    `^operation from client edge one client cert serial: \\d{30,} errored\\. sni a\\.example ski ${P256.ski.toHex()} cert cert-9 request-id ray-18: the key is ec, not rsa$`,
  )
  assert.match(line, pattern)
})

test('every request has a debug line; one without an id gets a random one', async (t) => {
  const { connect, log } = await startServer(t)
  const client = await connect()
  await client.ask(77, { opcode: OPCODES.OpPing.code })
  const { text: line } = await log.line(/opcode=/)
  assert.match(
    line,
    /^connection 127\.0\.0\.1:\d+: limited=false opcode=OpPing id=77 sni= ip= ski= request-id=/,
  )
  assert.match(line, UUID)
})

/** Each row: a request context and the request id that is logged. */
const CONTEXTS: readonly { context: Uint8Array; id: RegExp; complaints: number }[] = [
  { context: text('{"request_id":"r"}'), id: /^r$/, complaints: 0 },
  { context: text('{"request_id":"r","more":{"x":[1]}}'), id: /^r$/, complaints: 0 },
  { context: text('{}'), id: UUID, complaints: 0 },
  { context: text('{"request_id":7}'), id: UUID, complaints: 0 },
  { context: text('{"request_id":{"toString":1}}'), id: UUID, complaints: 0 },
  { context: new Uint8Array(0), id: UUID, complaints: 0 },
  { context: text('{"request_id":'), id: UUID, complaints: 1 },
  { context: text('[1]'), id: UUID, complaints: 1 },
  { context: text('null'), id: UUID, complaints: 1 },
  { context: Uint8Array.of(0x22, 0xff, 0x22), id: UUID, complaints: 1 },
  { context: text(`{"request_id":"${'x'.repeat(5000)}"}`), id: UUID, complaints: 1 },
  { context: text(`{"request_id":"${'x'.repeat(500)}"}`), id: /^x{128}$/, complaints: 0 },
]
for (const { context, id, complaints } of CONTEXTS) {
  const name = new TextDecoder().decode(context).slice(0, 40)
  test(`request context ${JSON.stringify(name)} of ${context.length} bytes: the request goes on`, async (t) => {
    const { connect, log } = await startServer(t)
    const client = await connect()
    const reply = await client.ask(1, { opcode: OPCODES.OpPing.code, requestContext: context })
    assert.equal(reply.operation.opcode, OPCODES.OpPong.code)
    const { fields } = await log.line(/opcode=/)
    assert.match(String(fields.request_id), id)
    assert.equal(log.lines('error').length, complaints)
  })
}

test('a tracing span may be anything', async (t) => {
  const { connect, log } = await startServer(t)
  const client = await connect()
  for (const [id, span] of [new Uint8Array(0), text('a:b:c'), new Uint8Array(500)].entries()) {
    assert.equal(errorByte(await client.ask(id, { opcode: OPCODES.OpPing.code, span })), undefined)
  }
  assert.deepEqual(log.lines('error'), [])
})

test('text of a peer cannot forge a log line', async (t) => {
  const { connect, log } = await startServer(t)
  const client = await connect()
  const forged = '\n2026/11/22 [INFO] all is well'
  await client.ask(1, {
    opcode: OPCODES.OpECDSASignSHA256.code,
    ski: NO_SUCH_SKI,
    serverName: text(forged),
    requestContext: text(JSON.stringify({ request_id: forged })),
  })
  for (const record of log.records) {
    assert.equal(formatTextLine(record, new Date()).split('\n').length, 2)
  }
})

test('the observer is told about every step of a request', async (t) => {
  const remote = new RemoteKey()
  const events: string[] = []
  const { promise: written, resolve } = Promise.withResolvers<void>()
  const { connect } = await startServer(t, {
    keyStore: storeOf(remote),
    observer: {
      connectionOpened: (chain) => events.push(`opened ${chain.length}`),
      connectionClosed: (end) => events.push(`closed ${end}`),
      requestArrived: (opcode) => events.push(`arrived ${opcode}`),
      keyLookedUp: (ms) => events.push(`looked up ${ms >= 0 && ms < 5000}`),
      requestAnswered: ({ opcode, error, executionMs }) =>
        events.push(`answered ${opcode} ${error} ${executionMs >= 0 && executionMs < 5000}`),
      replyWritten: ({ opcode }, totalMs) => {
        events.push(`written ${opcode} ${totalMs >= 0 && totalMs < 5000}`)
        resolve()
      },
    },
  })
  const client = await connect()
  client.send(
    encodePacket(1, { opcode: OPCODES.OpECDSASignSHA256.code, ski: remote.ski, payload: new Uint8Array(32) }),
  )
  await remote.asked(1)
  remote.questions[0]?.fail(new Error('no'))
  await client.reply(1)
  await written
  assert.deepEqual(events, [
    'opened 2',
    'arrived 21',
    'looked up true',
    'answered 21 1 true',
    'written 21 true',
  ])
})

test('seal and unseal, when there is a secret for it', async (t) => {
  const secret = new Uint8Array(32).fill(9)
  let now = new Date('2026-05-01T12:00:00Z')
  const keysOf = (...secrets: readonly Uint8Array[]): SealingKeys =>
    new SealingKeys({ secrets, rotationSeconds: 3600, keptRotations: 2, now: () => now })
  const client = await (await startServer(t, { sealing: keysOf(secret) })).connect()
  const ticket = text('the state of a session')
  const sealed = await client.ask(1, { opcode: OPCODES.OpSeal.code, payload: ticket })
  const blob = sealed.operation.payload ?? assert.fail()
  assert.ok(!Buffer.from(blob).includes('session'))
  const unseal = (payload: Uint8Array) => ({ opcode: OPCODES.OpUnseal.code, payload })
  assert.deepEqual((await client.ask(2, unseal(blob))).operation.payload, ticket)
  const other = await (await startServer(t, { sealing: keysOf(secret.slice().fill(1), secret) })).connect()
  assert.deepEqual((await other.ask(2, unseal(blob))).operation.payload, ticket)
  assert.equal(errorByte(await client.ask(3, unseal(ticket))), 1)
  assert.equal(errorByte(await client.ask(4, { opcode: OPCODES.OpUnseal.code })), 1)
  now = new Date('2026-05-01T15:30:00Z')
  assert.equal(errorByte(await client.ask(5, unseal(blob))), 10)
})

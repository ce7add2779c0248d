// From listening to closing, and new certificates in between.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSelfSigned, createThrowawayCa } from '@latchkey/throwaway-pki'
import { encodePacket, OPCODES } from '@latchkey/wire'
import { createKeyServer, KEYSERVER_ERRORS, KeyServerError, type KeyServerOptions } from '../src/index.ts'
import { pki } from './support/pki.ts'
import { text } from './support/test-client.ts'
import { RemoteKey, storeOf } from './support/test-keys.ts'
import { startServer, TestLog } from './support/test-server.ts'

const PING = OPCODES.OpPing.code
const SIGN = OPCODES.OpECDSASignSHA256.code
const DIGEST = new Uint8Array(32)
const DAY_MS = 24 * 3_600_000

async function options(): Promise<KeyServerOptions> {
  const { ca, server } = await pki()
  const { logger } = new TestLog()
  const identity = { cert: server.chainPem, key: server.privateKeyPem, ca: ca.certificatePem }
  return { keyStore: storeOf(), logger, ...identity }
}

function isError(code: keyof typeof KEYSERVER_ERRORS): (error: unknown) => boolean {
  return (error) => error instanceof KeyServerError && error.code === code
}

test('it says where it listens, in the form operators look for', async (t) => {
  const { server, port, log } = await startServer(t)
  assert.deepEqual(server.address(), { address: '127.0.0.1', family: 'IPv4', port })
  assert.deepEqual(log.lines('info'), [`Listening at tcp://127.0.0.1:${port}`])
  const log6 = new TestLog()
  await using server6 = createKeyServer({ ...(await options()), logger: log6.logger })
  assert.equal(server6.address(), undefined)
  const address6 = await server6.listen({ host: '::1', port: 0 })
  assert.deepEqual(log6.lines('info'), [`Listening at tcp://[::1]:${address6.port}`])
})

test('a port that is taken is ERR_KEYSERVER_LISTEN', async (t) => {
  const { port } = await startServer(t)
  await using second = createKeyServer(await options())
  await assert.rejects(second.listen({ port }), isError('ERR_KEYSERVER_LISTEN'))
  await assert.rejects(second.listen({ port }), /127\.0\.0\.1:\d+: EADDRINUSE/)
})

test('certificates that are no good are refused before anything listens', async () => {
  const good = await options()
  const { ca } = await pki()
  const other = await ca.issue({})
  const { certificatePem: notACa } = await createSelfSigned()
  const { certificatePem: intermediate } = await ca.issueIntermediate()
  const cases: readonly [Partial<KeyServerOptions>, keyof typeof KEYSERVER_ERRORS][] = [
    [{ key: other.privateKeyPem }, 'ERR_KEYSERVER_CERTIFICATE'],
    [{ cert: 'nothing' }, 'ERR_KEYSERVER_CERTIFICATE'],
    [{ key: '' }, 'ERR_KEYSERVER_CERTIFICATE'],
    [{ cert: '' }, 'ERR_KEYSERVER_CERTIFICATE'],
    [{ ca: '' }, 'ERR_KEYSERVER_CA'],
    [{ ca: 'nothing' }, 'ERR_KEYSERVER_CA'],
    [{ ca: notACa }, 'ERR_KEYSERVER_CA'],
    [{ ca: intermediate }, 'ERR_KEYSERVER_CA'],
    [{ ca: ca.certificatePem.replace(/^([^\n]+\n.{40}).{8}/, '$1AAAAAAAA') }, 'ERR_KEYSERVER_CA'],
  ]
  for (const [change, code] of cases) {
    assert.throws(() => createKeyServer({ ...good, ...change }), isError(code), JSON.stringify(change))
  }
})

test('PEM may be bytes, and a CA bundle may hold several with text around them', async (t) => {
  const { ca, server, client } = await pki()
  const other = await createThrowawayCa()
  const bundle = `# ours\n${ca.certificatePem}\n# theirs\n${other.certificatePem}`
  const bytes = {
    cert: Buffer.from(server.chainPem),
    key: Buffer.from(server.privateKeyPem),
    ca: text(bundle),
  }
  const { connect } = await startServer(t, bytes)
  for (const identity of [client, await other.issue({ extendedKeyUsages: ['any'] })]) {
    const connected = await connect({ cert: identity.chainPem, key: identity.privateKeyPem })
    assert.equal((await connected.ask(1, { opcode: PING })).operation.opcode, OPCODES.OpPong.code)
  }
})

test('closing answers what runs and what has come, takes nothing new, and closes', async (t) => {
  const key = new RemoteKey()
  const { connect, server, log } = await startServer(t, { keyStore: storeOf(key) })
  const client = await connect()
  client.send(encodePacket(1, { opcode: SIGN, ski: key.ski, payload: DIGEST }))
  await key.asked(1)
  const closed = server.close()
  await assert.rejects(connect())
  client.send(encodePacket(2, { opcode: PING }))
  await sleep(50)
  key.questions[0]?.answer(text('signature'))
  await client.closed()
  await closed
  assert.deepEqual(
    client.packets.map(({ id }) => id),
    [1],
  )
  assert.equal(server.connectionCount, 0)
  assert.equal(server.address(), undefined)
  assert.deepEqual(log.lines('error'), [])
})

test('closing does not wait longer than it is told to', async (t) => {
  const key = new RemoteKey()
  const { connect, server } = await startServer(t, { keyStore: storeOf(key) })
  const client = await connect()
  client.send(encodePacket(1, { opcode: SIGN, ski: key.ski, payload: DIGEST }))
  await key.asked(1)
  const started = performance.now()
  await server.close({ drainMs: 100 })
  const tookMs = performance.now() - started
  assert.ok(tookMs >= 90 && tookMs < 3000, `${tookMs} ms`)
  await client.closed()
})

test('closing twice, and before listening, is harmless', async () => {
  const server = createKeyServer(await options())
  await Promise.all([server.close(), server.close()])
  await server[Symbol.asyncDispose]()
  await assert.rejects(server.listen({ port: 0 }), TypeError)
})

test('closing shortens a drain that is under way', async (t) => {
  const key = new RemoteKey()
  const { connect, server } = await startServer(t, { keyStore: storeOf(key) })
  const client = await connect()
  client.socket.allowHalfOpen = true
  client.socket.end(encodePacket(1, { opcode: SIGN, ski: key.ski, payload: DIGEST }))
  await key.asked(1)
  await sleep(50)
  const started = performance.now()
  await server.close({ drainMs: 50 })
  assert.ok(performance.now() - started < 2000)
})

test('new connections get the new certificate, open ones go on', async (t) => {
  const { ca, server: old } = await pki()
  const { server, connect } = await startServer(t)
  const before = await connect()
  const renewed = await ca.issue({ commonName: 'renewed', ipAddresses: ['127.0.0.1'] })
  server.reload({ cert: renewed.chainPem, key: renewed.privateKeyPem, ca: ca.certificatePem })
  const after = await connect()
  assert.equal(after.socket.getPeerCertificate().subject.CN, 'renewed')
  assert.equal((await before.ask(1, { opcode: PING })).operation.opcode, OPCODES.OpPong.code)
  assert.equal((await after.ask(1, { opcode: PING })).operation.opcode, OPCODES.OpPong.code)
  assert.notEqual(renewed.certificatePem, old.certificatePem)
})

test('after a change of the CA bundle clients of the old CA are refused, of the new one served', async (t) => {
  const { server: identity } = await pki()
  const { server, connect, log } = await startServer(t)
  const newCa = await createThrowawayCa({ commonName: 'New CA' })
  server.reload({ cert: identity.chainPem, key: identity.privateKeyPem, ca: newCa.certificatePem })
  for (const extendedKeyUsages of [['clientAuth'], ['any']] as const) {
    const issued = await newCa.issue({ extendedKeyUsages })
    const client = await connect({ cert: issued.chainPem, key: issued.privateKeyPem })
    assert.equal((await client.ask(1, { opcode: PING })).operation.opcode, OPCODES.OpPong.code)
  }
  const stale = await connect().catch(() => undefined)
  await log.line(/TLS handshake failed: client certificate/)
  await stale?.closed()
})

test('a reload that fails changes nothing', async (t) => {
  const { ca, server: identity } = await pki()
  const { server, connect } = await startServer(t)
  const good = { cert: identity.chainPem, key: identity.privateKeyPem, ca: ca.certificatePem }
  const renewed = await ca.issue({ commonName: 'renewed', ipAddresses: ['127.0.0.1'] })
  const other = await createThrowawayCa()
  assert.throws(
    () => server.reload({ ...good, cert: renewed.chainPem, ca: other.certificatePem }),
    KeyServerError,
  )
  assert.throws(() => server.reload({ ...good, ca: '' }), isError('ERR_KEYSERVER_CA'))
  const client = await connect()
  assert.notEqual(client.socket.getPeerCertificate().subject.CN, 'renewed')
  assert.equal((await client.ask(1, { opcode: PING })).operation.opcode, OPCODES.OpPong.code)
})

/** Each row: days that the certificate is still valid, and the warning. */
const EXPIRY: readonly [number, string[]][] = [
  [31, []],
  [29, ['server certificate is expiring in 30 days']],
  [-1, ['server certificate has expired']],
]
for (const [days, warnings] of EXPIRY) {
  test(`a server certificate with ${days} days left: ${warnings.length} warnings`, async () => {
    const { ca } = await pki()
    const log = new TestLog()
    const now = new Date()
    const notAfter = new Date(now.getTime() + days * DAY_MS)
    const issued = await ca.issue({ notBefore: new Date(now.getTime() - 90 * DAY_MS), notAfter })
    const identity = { cert: issued.chainPem, key: issued.privateKeyPem }
    createKeyServer({ ...(await options()), ...identity, logger: log.logger, now: () => now })
    assert.deepEqual(log.lines('warning'), warnings)
  })
}

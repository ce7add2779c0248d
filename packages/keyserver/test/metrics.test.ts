// What the metrics of a key server count, and that strangers cannot make them grow.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { MetricRegistry } from '@latchkey/core'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { encodePacket, OPCODES } from '@latchkey/wire'
import { KeyServerMetrics, type KeyServerOptions } from '../src/index.ts'
import { ERROR_TEXTS, requestType } from '../src/metric-labels.ts'
import { RemoteKey, storeOf } from './support/test-keys.ts'
import { startServer } from './support/test-server.ts'

const PING = OPCODES.OpPing.code
const SIGN = OPCODES.OpECDSASignSHA256.code

class Measured {
  nowMs = Date.now()
  readonly registry = new MetricRegistry()
  readonly metrics = new KeyServerMetrics(this.registry, { nowMs: () => this.nowMs })

  /** Label values and value of each label set of a counter or gauge. */
  values(name: string): Record<string, number> {
    const metric = this.registry.snapshot().find((each) => each.name === name) ?? assert.fail(name)
    return Object.fromEntries(metric.series.map(({ labels, values }) => [labels.join(), values[0] as number]))
  }

  async until(name: string, expected: Record<string, number>): Promise<void> {
    for (let turns = 0; turns < 500; turns++) {
      if (JSON.stringify(this.values(name)) === JSON.stringify(expected)) return
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    assert.deepEqual(this.values(name), expected)
  }
}

async function startMeasured(t: TestContext, options: Partial<KeyServerOptions> = {}) {
  const measured = new Measured()
  const started = await startServer(t, { ...options, observer: measured.metrics })
  measured.metrics.watch(started.server)
  return { ...started, measured }
}

test('the type of every opcode', () => {
  const types = Map.groupBy(
    Array.from({ length: 256 }, (_, opcode) => opcode),
    requestType,
  )
  assert.deepEqual(Object.fromEntries([...types].map(([type, opcodes]) => [type, opcodes.length])), {
    unknown: 231,
    rsa: 10,
    ecdsa: 6,
    ed25519: 1,
    other: 6,
    rpc: 1,
    custom: 1,
  })
  assert.equal(ERROR_TEXTS.length, 13)
})

test('gauges tell what is held at the moment', async (t) => {
  const key = new RemoteKey()
  const { connect, measured } = await startMeasured(t, { keyStore: storeOf(key) })
  const client = await connect()
  client.send(encodePacket(1, { opcode: SIGN, ski: key.ski, payload: new Uint8Array(32) }))
  await key.asked(1)
  assert.deepEqual(measured.values('latchkey_connections'), { '': 1 })
  assert.deepEqual(measured.values('latchkey_requests_executing'), { '': 1 })
  key.questions[0]?.answer(new Uint8Array(70))
  await client.reply(1)
  assert.deepEqual(measured.values('latchkey_requests_executing'), { '': 0 })
  await measured.until('latchkey_queued_reply_bytes', { '': 0 })
})

test('silence is no failed connection, a clean end and half a packet are', async (t) => {
  const { connect, measured } = await startMeasured(t, { limits: { readTimeoutMs: 50 } })
  const idle = await connect()
  const stalled = await connect()
  stalled.socket.write(Uint8Array.of(1))
  await Promise.all([idle.closed(), stalled.closed()])
  await measured.until('latchkey_connections_closed_total', { idle: 1, stalled: 1 })
  assert.deepEqual(measured.values('keyless_failed_connection'), { '': 0 })
  const ended = await connect()
  ended.socket.end()
  await ended.closed()
  const partial = await connect()
  partial.socket.end(Uint8Array.of(1))
  await partial.closed()
  await measured.until('latchkey_connections_closed_total', { idle: 1, stalled: 1, end: 1, partial: 1 })
  assert.deepEqual(measured.values('keyless_failed_connection'), { '': 2 })
})

test('connections beyond the limit and handshakes that fail are counted by their reason', async (t) => {
  const limits = { maxConnections: 3, maxHandshakes: 2, handshakeTimeoutMs: 100 }
  const { connect: connectClient, port, measured } = await startMeasured(t, { limits })
  const halfway = [0, 1].map(() => connect(port, '127.0.0.1').on('error', () => {}))
  for (const socket of halfway) socket.write(Uint8Array.of(22, 3, 1)) // a record that never comes
  await measured.until('latchkey_handshakes', { '': 2 })
  const third = connect(port, '127.0.0.1').on('error', () => {})
  third.write(Uint8Array.of(22, 3, 1))
  await once(halfway[0] as Socket, 'close') // the oldest gives way
  await measured.until('latchkey_connections_refused_total', { connections: 0, handshakes: 1 })
  await measured.until('latchkey_handshakes_failed_total', { timeout: 2 })

  const plain = connect(port, '127.0.0.1').on('error', () => {})
  plain.write('GET / HTTP/1.1\r\n\r\n')
  await once(plain, 'close')
  const other = await createThrowawayCa()
  const stranger = await other.issue({ extendedKeyUsages: ['clientAuth'] })
  const refused = await connectClient({ cert: stranger.chainPem, key: stranger.privateKeyPem }).catch(
    () => undefined,
  )
  await refused?.closed()
  await measured.until('latchkey_handshakes_failed_total', { timeout: 2, tls: 1, client_certificate: 1 })

  for (let open = 0; open < 3; open++) await connectClient()
  await measured.until('latchkey_connections', { '': 3 }) // else the last is still in its handshake and gives way
  const fourth = connect(port, '127.0.0.1').on('error', () => {})
  await once(fourth, 'close')
  await measured.until('latchkey_connections_refused_total', { connections: 1, handshakes: 1 })
})

test('operations that take too long, and reading that pauses, are counted', async (t) => {
  const key = new RemoteKey()
  const limits = { operationTimeoutMs: 50, maxInFlight: 1 }
  const { connect, measured } = await startMeasured(t, { keyStore: storeOf(key), limits })
  const client = await connect()
  await client.ask(1, { opcode: SIGN, ski: key.ski, payload: new Uint8Array(32) })
  assert.deepEqual(measured.values('latchkey_operations_timed_out_total'), { '': 1 })
  assert.deepEqual(measured.values('latchkey_reading_paused_total'), { requests: 1 })
})

test('a connection that is cut off before its request is answered is counted; one that drains is not', async (t) => {
  const key = new RemoteKey()
  const { connect, measured, server } = await startMeasured(t, { keyStore: storeOf(key) })
  const busy = await connect()
  const quiet = await connect()
  await quiet.ask(1, { opcode: PING })
  busy.send(encodePacket(1, { opcode: SIGN, ski: key.ski, payload: new Uint8Array(32) }))
  await key.asked(1)
  await server.close({ drainMs: 50 })
  assert.deepEqual(measured.values('latchkey_drains_cut_total'), { '': 1 })
  assert.deepEqual(measured.values('latchkey_connections_closed_total'), { shutdown: 2 })
})

const CERTIFICATES = 'certificate_expiration_timestamp_seconds'

test('client certificates are forgotten a day after they were seen, and when they end', async () => {
  const measured = new Measured()
  const { nowMs } = measured
  const ca = await createThrowawayCa()
  const { certificates } = measured.metrics
  const chainOf = async (commonName: string, hours: number) => {
    const notAfter = new Date(nowMs + hours * 3_600_000)
    const { certificatePem } = await ca.issue({ commonName, notAfter })
    return certificatePem
  }
  const { X509Certificate } = await import('node:crypto')
  const long = new X509Certificate(await chainOf('long', 1000))
  const short = new X509Certificate(await chainOf('short', 1))
  certificates.clientSeen('x', [long, short])
  const names = (): string[] =>
    Object.keys(measured.values(CERTIFICATES)).map((labels) => labels.split(',')[2] ?? '')
  assert.deepEqual(names(), ['long', 'short'])
  measured.nowMs = nowMs + 2 * 3_600_000
  assert.deepEqual(names(), ['long'])
  certificates.clientSeen('x', [long])
  measured.nowMs = nowMs + 25 * 3_600_000
  assert.deepEqual(names(), ['long'])
  measured.nowMs = nowMs + 27 * 3_600_000
  assert.deepEqual(names(), [])
})

test('a fleet of client certificates keeps the number of series bounded; the newest are shown', () => {
  const measured = new Measured()
  const like = (serial: number) => ({
    serialNumber: serial.toString(16),
    subject: `CN=${serial}`,
    subjectAltName: undefined,
    keyUsage: undefined,
    ca: false,
    validToDate: new Date(measured.nowMs + 1000 * serial),
  })
  for (let serial = 1; serial <= 2500; serial++) {
    measured.metrics.certificates.clientSeen('x', [like(serial)] as never)
  }
  const shown = Object.keys(measured.values(CERTIFICATES)).map((labels) => Number(labels.split(',')[2]))
  assert.deepEqual([shown.length, Math.min(...shown), Math.max(...shown)], [1000, 1501, 2500])
  assert.equal(measured.registry.refusedSeries, 0)
})

test('a file that is loaded again shows what is in it now', async () => {
  const measured = new Measured()
  const [before, after] = [
    await createThrowawayCa({ commonName: 'a' }),
    await createThrowawayCa({ commonName: 'b' }),
  ]
  measured.metrics.certificates.setFile('ca.pem', before.certificatePem + before.certificatePem)
  measured.metrics.certificates.setFile('ca.pem', `${after.certificatePem}\nnothing`)
  const shown = Object.keys(measured.values(CERTIFICATES))
  assert.deepEqual(
    shown.map((labels) => labels.split(',').toSpliced(1, 1)),
    [['ca.pem', 'b', '', '1', '0', '0']],
  )
})

// Whoever holds the key may be quick, slow, wrong, or not there: what the client sees, and what the signer is told.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Signer, SignRequest, TlsErrorCode } from '@latchkey/tls'
import { ascii, concat } from './support/bytes.ts'
import { testCertificate } from './support/certificate.ts'
import { RawClient } from './support/raw-client.ts'
import { signatureFor } from './support/harness.ts'
import {
  connectTls,
  event,
  localSigner,
  type ServerOptions,
  startTls,
  type TestServer,
  until,
} from './support/socket-server.ts'

const UNKNOWN_CA = 48

type Answer = ReturnType<Signer['sign']>

interface Call {
  readonly request: SignRequest
  readonly signal: AbortSignal
  /** When the call came. */
  readonly at: number
  readonly resolve: (signature: Uint8Array) => void
  readonly reject: (cause: unknown) => void
}

/** A signer whose answers the test gives. */
class HeldSigner implements Signer {
  readonly calls: Call[] = []

  sign(request: SignRequest, signal: AbortSignal): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.calls.push({ request, signal, at: Date.now(), resolve, reject })
    })
  }

  async called(): Promise<Call> {
    await until(() => this.calls.length > 0)
    return this.calls[0] as Call
  }
}

const server = (signer: Signer, options: ServerOptions = {}): Promise<TestServer> =>
  startTls((socket) => socket.end('served'), { signer, ...options })

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

// ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const thenable = (request: SignRequest): Answer =>
  // oxlint-disable-next-line unicorn/no-thenable -- a promise of somebody else's making is one
  ({ then: (resolve: (signature: Uint8Array) => void) => resolve(signatureFor(request)) }) as never

for (const [name, sign] of [
  ['in the same turn', signatureFor],
  ['with a promise that is kept already', (request) => Promise.resolve(signatureFor(request))],
  ['20 ms later', (request) => sleep(20).then(() => signatureFor(request))],
  ['with what only looks like a promise', thenable],
  ['with a Buffer', (request) => Buffer.from(signatureFor(request))],
] satisfies [string, (request: SignRequest) => Answer][]) {
  test(`signer: answers ${name}`, async () => {
    await using running = await server({ sign })
    const client = await connectTls(running.port)
    const [data] = await event(client, 'data')
    assert.equal(String(data), 'served')
    assert.deepEqual(running.failures, [])
  })
}

test('signer: is told what to sign, for whom, and until when', async () => {
  const signer = new HeldSigner()
  await using running = await server(signer)
  using client = new RawClient(running.port, { hello: { serverName: 'a.example.com' } }).hello()
  const { request, signal, at, resolve } = await signer.called()
  const { keyId, content, deadlineMs, ...rest } = request
  assert.deepEqual(Buffer.from(keyId), Buffer.from(testCertificate('p256').keyId))
  assert.deepEqual(rest, {
    scheme: 0x0403,
    purpose: 'tls13-server-cv',
    serverName: 'a.example.com',
    clientAddress: '127.0.0.1',
  })
  const prefix = concat(ascii(' '.repeat(64)), ascii('TLS 1.3, server CertificateVerify\0'))
  assert.deepEqual(Buffer.from(content.subarray(0, prefix.length)), Buffer.from(prefix))
  assert.equal(content.length, prefix.length + 32)
  assert.ok(Math.abs(deadlineMs - at - 3000) < 50, `${deadlineMs - at} ms to sign`)
  assert.equal(signal.aborted, false)
  resolve(signatureFor(request))
  await until(() => client.tls.state === 'connected')
  await sleep(5)
  assert.equal(signal.aborted, false)
})

test('signer: that has answered in time is not told to stop later', async () => {
  const signer = new HeldSigner()
  await using running = await startTls((socket) => void socket.pipe(socket), { signer, signerTimeoutMs: 40 })
  using client = new RawClient(running.port).hello()
  const { request, signal, resolve } = await signer.called()
  resolve(signatureFor(request))
  await until(() => client.tls.state === 'connected')
  await sleep(250) // deadlines come up to 100 ms late
  client.socket.end()
  await client.ended()
  assert.equal(signal.aborted, false)
  assert.deepEqual(running.failures, [])
})

test('signer: never gets more time than is left of the handshake', async () => {
  const signer = new HeldSigner()
  await using running = await server(signer, { signerTimeoutMs: 3000, handshakeTimeoutMs: 500 })
  using client = new RawClient(running.port)
  await sleep(100)
  client.hello()
  const { request, at } = await signer.called()
  assert.ok(request.deadlineMs - at > 300 && request.deadlineMs - at < 480, `${request.deadlineMs - at} ms`)
})

test('signer: many handshakes wait at once, and are answered in any order', async () => {
  const signer = new HeldSigner()
  await using running = await server(signer)
  const clients = Array.from({ length: 8 }, () => new RawClient(running.port).hello())
  try {
    await until(() => signer.calls.length === clients.length)
    for (const { request, resolve } of signer.calls.toReversed()) resolve(signatureFor(request))
    await until(() => clients.every(({ tls }) => tls.state === 'connected'))
  } finally {
    for (const { socket } of clients) socket.destroy()
  }
})

// ── failures ────────────────────────────────────────────────────────────────────────────────────────────────────────

const failure = new Error('the vault is shut')

interface FailureRow {
  readonly name: string
  readonly sign: (request: SignRequest) => unknown
  readonly code: TlsErrorCode
  readonly options?: ServerOptions
  readonly cause?: unknown
}

const FAILURES: readonly FailureRow[] = [
  { name: 'rejects', sign: () => Promise.reject(failure), code: 'ERR_TLS_SIGNER', cause: failure },
  {
    name: 'throws',
    sign: () => {
      throw failure
    },
    code: 'ERR_TLS_SIGNER',
    cause: failure,
  },
  { name: 'rejects with nothing', sign: () => Promise.reject(), code: 'ERR_TLS_SIGNER' },
  { name: 'answers undefined', sign: () => undefined, code: 'ERR_TLS_SIGNER' },
  { name: 'answers a text', sign: () => 'c2lnbmF0dXJl', code: 'ERR_TLS_SIGNER' },
  { name: 'promises null', sign: () => Promise.resolve(null), code: 'ERR_TLS_SIGNER' },
  {
    name: 'answers garbage for an RSA key',
    sign: () => new Uint8Array(256).fill(7),
    code: 'ERR_TLS_SIGNER_WRONG',
    options: { kinds: ['rsa2048'] },
  },
  {
    name: 'answers one bit wrong for an RSA key',
    sign: (request) => signatureFor(request).map((byte, index) => (index === 100 ? byte ^ 1 : byte)),
    code: 'ERR_TLS_SIGNER_WRONG',
    options: { kinds: ['rsa2048'] },
  },
  {
    name: 'answers garbage to the first request for an ECDSA key',
    sign: () => new Uint8Array(70).fill(7),
    code: 'ERR_TLS_SIGNER_WRONG',
  },
]

for (const { name, sign, code, options, cause } of FAILURES) {
  test(`signer: ${name}: internal_error for the client, ${code} for the operator`, async () => {
    await using running = await server({ sign } as Signer, options)
    using client = new RawClient(running.port).hello()
    await client.ended()
    assert.deepEqual(client.alerts, ['internal_error'])
    assert.deepEqual(
      running.failures.map((error) => error.code),
      [code],
    )
    if (cause !== undefined) assert.equal(running.failures[0]?.cause, cause)
    assert.equal(client.tls.received.length, 0)
  })
}

test('signer: never answers: given up after signerTimeoutMs, and told so', async () => {
  const signer = new HeldSigner()
  await using running = await server(signer, { signerTimeoutMs: 60 })
  const start = performance.now()
  using client = new RawClient(running.port).hello()
  await client.ended()
  const waited = performance.now() - start
  assert.ok(waited >= 55 && waited < 1500, `${waited} ms`)
  assert.deepEqual(client.alerts, ['internal_error'])
  assert.equal(running.failures[0]?.code, 'ERR_TLS_SIGNER_TIMEOUT')
  assert.equal(signer.calls[0]?.signal.aborted, true)
})

for (const [name, answer] of [
  ['the signature', ({ request, resolve }: Call) => resolve(signatureFor(request))],
  ['a failure', ({ reject }: Call) => reject(failure)],
] as const) {
  test(`signer: ${name} that comes after the deadline changes nothing`, async () => {
    const signer = new HeldSigner()
    await using running = await server(signer, { signerTimeoutMs: 30 })
    using client = new RawClient(running.port).hello()
    await client.ended()
    answer(await signer.called())
    await sleep(10)
    assert.deepEqual(client.alerts, ['internal_error'])
    assert.equal(running.failures.length, 1)
  })

  test(`signer: ${name} that comes after the client has gone changes nothing`, async () => {
    const signer = new HeldSigner()
    await using running = await server(signer)
    using client = new RawClient(running.port).hello()
    const call = await signer.called()
    client.socket.resetAndDestroy()
    await until(() => running.failures.length === 1)
    answer(call)
    await sleep(10)
    assert.equal(running.failures.length, 1)
    assert.equal(running.failures[0]?.code, 'ERR_TLS_TRANSPORT')
  })
}

// ── the client does not wait ────────────────────────────────────────────────────────────────────────────────────────

for (const [name, code, leave] of [
  ['resets', 'ERR_TLS_TRANSPORT', ({ socket }: RawClient) => void socket.resetAndDestroy()],
  ['closes', 'ERR_TLS_TRANSPORT', ({ socket }: RawClient) => void socket.end()],
  ['sends an alert', 'ERR_TLS_PEER_ALERT', ({ tls }: RawClient) => void tls.alert(UNKNOWN_CA)],
  [
    'sends what is no record',
    'ERR_TLS_UNEXPECTED_MESSAGE',
    ({ socket }: RawClient) => void socket.write('?????'),
  ],
] as const) {
  test(`signer: is told to stop when the client ${name}`, async () => {
    const signer = new HeldSigner()
    await using running = await server(signer)
    using client = new RawClient(running.port).hello()
    const { signal } = await signer.called()
    assert.equal(signal.aborted, false)
    await until(() => client.tls.state === 'server flight')
    leave(client)
    client.flush()
    await until(() => signal.aborted)
    assert.deepEqual(
      running.failures.map((error) => error.code),
      [code],
    )
  })
}

test('signer: is told to stop when the handshake takes too long', async () => {
  const signer = new HeldSigner()
  // The signer's own limit is cut to what is left of the handshake: whichever timer is first, the call ends.
  await using running = await server(signer, { handshakeTimeoutMs: 50 })
  using client = new RawClient(running.port).hello()
  const { signal } = await signer.called()
  await client.ended()
  assert.equal(signal.aborted, true)
  assert.equal(running.failures.length, 1)
})

test('signer: one that fails for one client leaves the others alone', async () => {
  await using running = await server({
    sign: (request, signal) => {
      if (request.serverName === 'bad.example.com') throw failure
      return localSigner.sign(request, signal)
    },
  })
  const good = await connectTls(running.port)
  using bad = new RawClient(running.port, { hello: { serverName: 'bad.example.com' } }).hello()
  await bad.ended()
  const [data] = await event(good, 'data')
  assert.equal(String(data), 'served')
  assert.equal(running.failures.length, 1)
})

// The same hello to this engine and to node:tls: the same suite, group and protocol, or the same kind of refusal.
import assert from 'node:assert/strict'
import { constants } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { createServer, type Server } from 'node:tls'
import { flipped, u8, vector16 } from './support/bytes.ts'
import { testCertificate } from './support/certificate.ts'
import { encodeHello, type Hello, numbers16 } from './support/client-hello.ts'
import { EXTENSION, GROUP, SCHEME, SUITE } from './support/code-points.ts'
import { testContext, Wire } from './support/harness.ts'
import { lengthFields } from './support/length-fields.ts'
import { grease, TestClient } from './support/test-client.ts'

interface Row {
  readonly name: string
  readonly hello?: Partial<Hello>
  readonly shares?: readonly number[]
}

const CHACHA_FIRST = [SUITE.TLS_CHACHA20_POLY1305_SHA256, SUITE.TLS_AES_128_GCM_SHA256]

const ROWS: readonly Row[] = [
  { name: 'a common hello' },
  ...Object.entries(SUITE).map(
    ([name, suite]): Row => ({ name: `only ${name}`, hello: { suites: [suite] } }),
  ),
  { name: 'ChaCha20 preferred', hello: { suites: CHACHA_FIRST } },
  { name: 'AES preferred', hello: { suites: CHACHA_FIRST.toReversed() } },
  { name: 'a P-256 share', shares: [GROUP.secp256r1] },
  { name: 'both shares', shares: [GROUP.secp256r1, GROUP.x25519] },
  { name: 'no share', shares: [] },
  {
    name: 'only a P-384 share',
    hello: { groups: [GROUP.secp384r1, GROUP.x25519] },
    shares: [GROUP.secp384r1],
  },
  { name: 'P-256 only, without a share', hello: { groups: [GROUP.secp256r1] }, shares: [] },
  { name: 'GREASE', hello: { suites: [grease(1), ...Object.values(SUITE)], versions: [grease(2), 0x0304] } },
  { name: 'a common protocol', hello: { alpn: ['h2', 'http/1.1'] } },
  { name: 'protocols in the other order', hello: { alpn: ['http/1.1', 'h2'] } },
  { name: 'no common protocol', hello: { alpn: ['h3'] } },
  { name: 'no common suite', hello: { suites: [0x00ff] } },
  { name: 'no common group', hello: { groups: [GROUP.x448] }, shares: [GROUP.x448] },
  { name: 'no usable scheme', hello: { schemes: [SCHEME.ed25519] } },
  { name: 'no TLS 1.3', hello: { versions: [0x0303] } },
  { name: 'a TLS 1.2 hello', hello: { versions: undefined } },
  { name: 'compression', hello: { compression: Uint8Array.of(0, 1) } },
  { name: 'no compression method', hello: { compression: new Uint8Array(0) } },
  { name: 'no key_share', hello: { bodies: { [EXTENSION.key_share]: undefined } } },
  { name: 'no supported_groups', hello: { bodies: { [EXTENSION.supported_groups]: undefined } } },
  { name: 'no signature_algorithms', hello: { bodies: { [EXTENSION.signature_algorithms]: undefined } } },
  { name: 'an empty list of schemes', hello: { schemes: [] } },
  {
    name: 'schemes of odd length',
    hello: { bodies: { [EXTENSION.signature_algorithms]: vector16(numbers16([0x0403]), u8(8)) } },
  },
  {
    name: 'an X25519 share of zeros',
    hello: { keyShares: [{ group: GROUP.x25519, share: new Uint8Array(32) }] },
  },
  {
    name: 'an X25519 share of 31 bytes',
    hello: { keyShares: [{ group: GROUP.x25519, share: new Uint8Array(31).fill(9) }] },
  },
  {
    name: 'a P-256 share off the curve',
    hello: { keyShares: [{ group: GROUP.secp256r1, share: new Uint8Array(65).fill(4) }] },
  },
]

interface Result {
  readonly alert: string | undefined
  readonly suite: number | undefined
  readonly group: number | undefined
  readonly protocol: string | undefined
  readonly retries: number
  readonly isConnected: boolean
}

function resultOf(client: TestClient): Result {
  const isConnected = client.state === 'connected'
  return {
    alert: client.alerts[0]?.name,
    suite: isConnected ? client.suite?.code : undefined,
    group: client.group,
    protocol: isConnected ? client.protocol : undefined,
    retries: client.retries,
    isConnected,
  }
}

let server: Server

before(async () => {
  const { chainPem, privateKey } = testCertificate('p256')
  server = createServer({
    cert: chainPem,
    key: privateKey.export({ format: 'pem', type: 'pkcs8' }),
    minVersion: 'TLSv1.3',
    ciphers: Object.keys(SUITE).join(':'),
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_PRIORITIZE_CHACHA,
    ecdhCurve: 'X25519:P-256',
    ALPNProtocols: ['h2', 'http/1.1'],
  })
  server.on('secureConnection', (socket) => {
    socket.on('error', () => socket.destroy())
    socket.write('!')
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})

after(async () => {
  server.close()
  await once(server, 'close')
})

/** The handshake over a socket, up to the first data, an alert or the end. */
async function throughNode(client: TestClient, hello?: Uint8Array): Promise<Result> {
  const { port } = server.address() as { port: number }
  const socket = connect({ port, host: '127.0.0.1' })
  const done = once(socket, 'close', { signal: AbortSignal.timeout(10_000) })
  let error: unknown
  const flush = (): void => {
    const bytes = client.take()
    if (bytes.length > 0) socket.write(bytes)
  }
  socket.on('error', () => socket.destroy())
  socket.on('end', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    try {
      client.receive(chunk)
      flush()
    } catch (cause) {
      error = cause
      socket.destroy()
    }
    if (client.alerts.length > 0 || client.data.length > 0) socket.destroy()
  })
  client.start(hello)
  flush()
  await done
  if (error !== undefined) throw error
  return resultOf(client)
}

for (const { name, ...options } of ROWS) {
  test(`property c: node:tls and the engine agree: ${name}`, async () => {
    const theirs = await throughNode(new TestClient(options))
    const context = testContext({ alpnProtocols: ['h2', 'http/1.1'], minVersion: 'TLSv1.3' })
    const ours = resultOf(new Wire({ context, ...options }).start().client)
    assert.deepEqual(ours, theirs)
  })
}

test('both refuse a hello whose length lies', async () => {
  const hello = encodeHello(new TestClient({ hello: { alpn: ['h2'] } }).hello)
  for (const { name, at, width } of lengthFields(hello.subarray(4))) {
    const bad = flipped(hello, 4 + at + width - 1, 0x40)
    const client = new TestClient()
    const theirs = await throughNode(client, bad)
    const wire = new Wire()
    wire.client.start(bad)
    const ours = resultOf(wire.run().client)
    // Which field is then wrong first is a matter of the order in which each reads.
    assert.ok(theirs.alert !== undefined && !theirs.isConnected, `${name}: node:tls`)
    assert.ok(ours.alert !== undefined && wire.closedCount === 1, `${name}: the engine`)
  }
})

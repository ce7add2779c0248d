// The same TLS 1.2 hello to this engine and to node:tls: the same suite, group, scheme and protocol, or the same refusal.
import assert from 'node:assert/strict'
import { constants } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { createServer, type Server } from 'node:tls'
import { CIPHER_SUITES12 } from '@latchkey/tls'
import { flipped, hex, u8, vector8 } from './support/bytes.ts'
import { testCertificate } from './support/certificate.ts'
import { encodeHello, type Hello } from './support/client-hello.ts'
import { EXTENSION, GROUP, SCHEME, SUITE12 } from './support/code-points.ts'
import { testContext, Wire12 } from './support/harness.ts'
import { lengthFields } from './support/length-fields.ts'
import { type Client12Options, TestClient12 } from './support/test-client12.ts'
import { grease } from './support/test-client.ts'

interface Row extends Client12Options {
  readonly name: string
}

const a128 = SUITE12.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
const a256 = SUITE12.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
const chacha = SUITE12.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256

function body(type: number, bytes: Uint8Array | undefined): Partial<Hello> {
  return { bodies: { [type]: bytes } }
}

const ROWS: readonly Row[] = [
  { name: 'a common hello' },
  { name: 'no extended master secret', hasExtendedMasterSecret: false },
  ...[a128, a256, chacha].map((suite): Row => ({ name: `only ${suite}`, hello: { suites: [suite] } })),
  { name: 'ChaCha20 preferred', hello: { suites: [chacha, a128, a256] } },
  { name: 'AES preferred', hello: { suites: [a256, a128, chacha] } },
  {
    name: 'GREASE',
    hello: { suites: [grease(1), a128], groups: [grease(2), GROUP.x25519, GROUP.secp256r1] },
  },
  { name: 'P-256 only', hello: { groups: [GROUP.secp256r1] } },
  { name: 'P-256 preferred', hello: { groups: [GROUP.secp256r1, GROUP.x25519] } },
  { name: 'a common protocol', hello: { alpn: ['h2', 'http/1.1'] } },
  { name: 'protocols in the other order', hello: { alpn: ['http/1.1', 'h2'] } },
  { name: 'another hash', hello: { schemes: [SCHEME.ecdsa_secp384r1_sha384] } },
  { name: 'SHA-512', hello: { schemes: [SCHEME.ecdsa_secp521r1_sha512] } },
  { name: 'the SCSV of renegotiation_info', hello: { extra: [], suites: [a128, 0x00ff] } },
  { name: 'no common protocol', hello: { alpn: ['h3'] } },
  { name: 'no common suite', hello: { suites: [0x009c, 0xc02f] } },
  { name: 'no common group', hello: { groups: [GROUP.x448] } },
  { name: 'the curve of the certificate is not known', hello: { groups: [GROUP.x25519] } },
  { name: 'no usable scheme', hello: { schemes: [SCHEME.ed25519, SCHEME.rsa_pss_rsae_sha256] } },
  { name: 'only SHA-1', hello: { schemes: [SCHEME.ecdsa_sha1] } },
  { name: 'no supported_groups', hello: body(EXTENSION.supported_groups, undefined) },
  { name: 'no extension at all', hello: { arrange: () => [] } },
  { name: 'TLS 1.1', hello: { legacyVersion: 0x0302 } },
  { name: 'TLS 1.1 in supported_versions', hello: { versions: [0x0302] } },
  { name: 'no null compression', hello: { compression: u8(1) } },
  { name: 'an empty list of schemes', hello: { schemes: [] } },
  {
    name: 'renegotiation_info of another handshake',
    hello: { extra: [{ type: EXTENSION.renegotiation_info, body: vector8(new Uint8Array(12)) }] },
  },
  {
    name: 'renegotiation_info with a length that lies',
    hello: { extra: [{ type: EXTENSION.renegotiation_info, body: hex('05') }] },
  },
]

interface Result {
  readonly alert: string | undefined
  readonly suite: number | undefined
  readonly group: number | undefined
  readonly scheme: number | undefined
  readonly protocol: string | undefined
  readonly extensions: ReadonlySet<number>
  readonly isConnected: boolean
}

function resultOf(client: TestClient12): Result {
  return {
    alert: client.alerts[0]?.name,
    suite: client.suite?.code,
    group: client.group,
    scheme: client.scheme,
    protocol: client.protocol,
    // node:tls does not acknowledge server names (RFC 6066 §3).
    extensions: new Set([...client.extensions.keys()].filter((type) => type !== EXTENSION.server_name)),
    isConnected: client.state === 'connected',
  }
}

let server: Server

before(async () => {
  const { chainPem, privateKey } = testCertificate('p256')
  const pem = { cert: chainPem, key: privateKey.export({ format: 'pem', type: 'pkcs8' }) }
  server = createServer({
    ...pem,
    maxVersion: 'TLSv1.2',
    ciphers: Object.values(CIPHER_SUITES12)
      .map(({ openSslName }) => openSslName)
      .join(':'),
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_PRIORITIZE_CHACHA | constants.SSL_OP_NO_TICKET,
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
async function throughNode(client: TestClient12, hello?: Uint8Array): Promise<Result> {
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

const context = testContext({ alpnProtocols: ['h2', 'http/1.1'], isDefault: true })

for (const { name, ...options } of ROWS) {
  test(`property c: node:tls and the engine agree on TLS 1.2: ${name}`, async () => {
    const theirs = await throughNode(new TestClient12(options))
    const ours = resultOf(new Wire12({ context, ...options }).start().client)
    assert.deepEqual(ours, theirs)
  })
}

test('both refuse a TLS 1.2 hello whose length lies', async () => {
  const hello = encodeHello(new TestClient12({ hello: { alpn: ['h2'], extra: [] } }).hello)
  for (const { name, at, width } of lengthFields(hello.subarray(4))) {
    const bad = flipped(hello, 4 + at + width - 1, 0x40)
    const theirs = await throughNode(new TestClient12(), bad)
    const wire = new Wire12({ context })
    wire.client.start(bad)
    const ours = resultOf(wire.run().client)
    // Which field is then wrong first is a matter of the order in which each reads.
    assert.ok(theirs.alert !== undefined && !theirs.isConnected, `${name}: node:tls`)
    assert.ok(ours.alert !== undefined && wire.closedCount === 1, `${name}: the engine`)
  }
})

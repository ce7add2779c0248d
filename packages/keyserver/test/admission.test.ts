// Who gets in: the rule for client certificates, the TLS versions and suites, and what is logged of those who do not.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { test } from 'node:test'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { createSelfSigned, createThrowawayCa, type Issued } from '@latchkey/throwaway-pki'
import { encodePacket, OPCODES } from '@latchkey/wire'
import { pki } from './support/pki.ts'
import { TestClient } from './support/test-client.ts'
import { startServer, type TestServer } from './support/test-server.ts'

const PING = encodePacket(1, { opcode: OPCODES.OpPing.code })
const PAST = { notBefore: new Date('2020-01-01'), notAfter: new Date('2020-02-01') }
const FUTURE = { notBefore: new Date('2090-01-01'), notAfter: new Date('2090-02-01') }
const NO_SIGNATURES = { oid: '2.5.29.15', critical: true, value: Uint8Array.of(0x03, 0x02, 0x05, 0x20) }
const UNKNOWN = { oid: '1.2.3.4', critical: true, value: Uint8Array.of(0x05, 0x00) }
const NOT_A_CA = { oid: '2.5.29.19', critical: true, value: Uint8Array.of(0x30, 0x00) }

/** Whether the server answers a client with this certificate; it may refuse after the client thinks it is in. */
async function isServed(
  { port }: TestServer,
  identity?: Issued,
  options: ConnectionOptions = {},
): Promise<boolean> {
  const { ca } = await pki()
  const certificate = identity === undefined ? {} : { cert: identity.chainPem, key: identity.privateKeyPem }
  // Security level 0: an attacker's TLS sends any certificate.
  const ciphers = 'DEFAULT@SECLEVEL=0'
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    ca: ca.certificatePem,
    ciphers,
    ...certificate,
    ...options,
  })
  const client = new TestClient(socket)
  client.send(PING)
  await client.until(() => client.isClosed || client.packets.length > 0)
  client.destroy()
  return client.packets.length > 0
}

/** Each row: what the client has; the log line's reason, or undefined for a welcome client. */
const RULE: readonly {
  name: string
  make: () => Promise<Issued | undefined>
  refusal: RegExp | undefined
}[] = [
  {
    name: 'clientAuth',
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: ['clientAuth'] }),
    refusal: undefined,
  },
  {
    name: 'clientAuth among others',
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: ['serverAuth', 'clientAuth'] }),
    refusal: undefined,
  },
  {
    name: 'anyExtendedKeyUsage',
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: ['any'] }),
    refusal: undefined,
  },
  {
    name: 'no extended key usage',
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: [] }),
    refusal: undefined,
  },
  {
    name: 'any, over two intermediates',
    make: async () => {
      const upper = await (await pki()).ca.issueIntermediate({ commonName: 'upper', pathLength: 1 })
      const lower = await upper.issueIntermediate({ commonName: 'lower', pathLength: 0 })
      return lower.issue({ extendedKeyUsages: ['any'] })
    },
    refusal: undefined,
  },
  {
    name: 'clientAuth under an intermediate for any',
    make: async () =>
      (await (await pki()).ca.issueIntermediate({ extendedKeyUsages: ['any'] })).issue({
        extendedKeyUsages: ['clientAuth'],
      }),
    refusal: undefined,
  },
  ...(['rsa-2048', 'ecdsa-p384', 'ed25519'] as const).map((keyAlgorithm) => ({
    name: `any, with a key of ${keyAlgorithm}`,
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: ['any'], keyAlgorithm }),
    refusal: undefined,
  })),
  {
    name: 'serverAuth only',
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: ['serverAuth'] }),
    refusal: /extended key usage is not for TLS clients/,
  },
  { name: 'no certificate', make: async () => undefined, refusal: /no client certificate/ },
  {
    name: 'clientAuth of another CA',
    make: async () => (await createThrowawayCa()).issue({ extendedKeyUsages: ['clientAuth'] }),
    refusal: /client certificate: UNABLE_TO/,
  },
  {
    name: 'any of another CA',
    make: async () => (await createThrowawayCa()).issue({ extendedKeyUsages: ['any'] }),
    refusal: /client certificate: UNABLE_TO/,
  },
  {
    name: 'any of another CA with the same name',
    make: async () =>
      (await createThrowawayCa({ commonName: 'Test CA' })).issue({ extendedKeyUsages: ['any'] }),
    refusal: /client certificate: UNABLE_TO/,
  },
  {
    // OpenSSL reports INVALID_PURPOSE here and nothing else.
    name: 'any, self-signed',
    make: () => createSelfSigned({ extendedKeyUsages: ['any'] }),
    refusal: /not under a configured CA/,
  },
  {
    name: 'any, self-signed in the name of the CA',
    make: () => createSelfSigned({ commonName: 'Test CA', extendedKeyUsages: ['any'] }),
    refusal: /not under a configured CA/,
  },
  {
    // And here: a chain hides that no root was reached.
    name: 'any, over an intermediate of another CA',
    make: async () =>
      (await (await createThrowawayCa()).issueIntermediate()).issue({ extendedKeyUsages: ['any'] }),
    refusal: /not under a configured CA/,
  },
  {
    name: 'any, over an intermediate of another CA with the same name',
    make: async () =>
      (await (await createThrowawayCa({ commonName: 'Test CA' })).issueIntermediate()).issue({
        extendedKeyUsages: ['any'],
      }),
    refusal: /not under a configured CA/,
  },
  {
    name: 'any, with the root of another CA in the chain',
    make: async () => {
      const other = await createThrowawayCa()
      const issued = await other.issue({ extendedKeyUsages: ['any'] })
      return { ...issued, chainPem: issued.chainPem + other.certificatePem }
    },
    refusal: /not under a configured CA/,
  },
  {
    // prime256v1, 1.2.840.10045.3.1.7, becomes 1.2.840.10045.3.1.99, which nobody knows.
    name: 'any, over an issuer with an unknown kind of key',
    make: async () => {
      const other = await createThrowawayCa()
      const issued = await other.issue({ extendedKeyUsages: ['any'] })
      const der = Buffer.from(other.certificatePem.replaceAll(/-----[^-]+-----/g, ''), 'base64')
      const at = der.indexOf('06082a8648ce3d030107', 'hex')
      der[at + 9] = 99
      const pem = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`
      return { ...issued, chainPem: issued.chainPem + pem }
    },
    refusal: /TLS handshake failed/, // over TLS 1.2 OpenSSL's client stumbles over it first
  },
  {
    name: 'any, expired',
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: ['any'], ...PAST }),
    refusal: /client certificate: CERT_HAS_EXPIRED/,
  },
  {
    name: 'any, not valid yet',
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: ['any'], ...FUTURE }),
    refusal: /client certificate: CERT_NOT_YET_VALID/,
  },
  {
    name: 'serverAuth, expired',
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: ['serverAuth'], ...PAST }),
    refusal: /client certificate: /,
  },
  {
    name: 'any, over an expired intermediate',
    make: async () => (await (await pki()).ca.issueIntermediate(PAST)).issue({ extendedKeyUsages: ['any'] }),
    refusal: /expired/i,
  },
  {
    name: 'any, issued by a certificate that is no CA',
    make: async () =>
      (await (await pki()).ca.issueIntermediate({ extensions: [NOT_A_CA] })).issue({
        extendedKeyUsages: ['any'],
      }),
    refusal: /not a CA|INVALID_CA/,
  },
  {
    name: 'any, deeper than the path length allows',
    make: async () => {
      const upper = await (await pki()).ca.issueIntermediate({ commonName: 'upper', pathLength: 0 })
      return (await upper.issueIntermediate({ commonName: 'lower' })).issue({ extendedKeyUsages: ['any'] })
    },
    refusal: /PATH_LENGTH|more CAs/,
  },
  {
    name: 'any, under an intermediate for servers',
    make: async () =>
      (await (await pki()).ca.issueIntermediate({ extendedKeyUsages: ['serverAuth'] })).issue({
        extendedKeyUsages: ['any'],
      }),
    refusal: /issuer of the client certificate: extended key usage/,
  },
  {
    name: 'any, without the right to sign',
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: ['any'], extensions: [NO_SIGNATURES] }),
    refusal: /key usage does not allow signatures/,
  },
  {
    name: 'any, with a critical extension nobody knows',
    make: async () => (await pki()).ca.issue({ extendedKeyUsages: ['any'], extensions: [UNKNOWN] }),
    refusal: /critical extension 1\.2\.3\.4/,
  },
]

for (const { name, make, refusal } of RULE) {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`client certificate over ${maxVersion}: ${name} is ${refusal ? 'refused' : 'accepted'}`, async (t) => {
      const server = await startServer(t)
      assert.equal(await isServed(server, await make(), { maxVersion }), refusal === undefined)
      if (refusal === undefined) return
      const { level, text } = await server.log.line(/TLS handshake failed: /)
      assert.match(text, /^connection 127\.0\.0\.1:\d+: TLS handshake failed: /)
      assert.match(text, refusal)
      assert.equal(level, 'error')
      assert.equal(server.server.connectionCount, 0)
    })
  }
}

/** Each row: what a client offers; undefined: no handshake. */
const VERSIONS: readonly {
  name: string
  offer: ConnectionOptions
  tls13?: boolean
  cipher: string | undefined
}[] = [
  { name: 'TLS 1.3', offer: { minVersion: 'TLSv1.3' }, cipher: 'TLS_AES_256_GCM_SHA384' },
  { name: 'TLS 1.3 where it is off', offer: { minVersion: 'TLSv1.3' }, tls13: false, cipher: undefined },
  {
    name: 'TLS 1.2 and 1.3 where 1.3 is off',
    offer: {},
    tls13: false,
    cipher: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  },
  {
    name: 'TLS 1.2, ECDSA AES-256',
    offer: { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
    cipher: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  },
  {
    name: 'TLS 1.2, AES-128 only',
    offer: { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
    cipher: undefined,
  },
  {
    name: 'TLS 1.2, ChaCha20 only',
    offer: { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' },
    cipher: undefined,
  },
  {
    name: 'TLS 1.1',
    offer: { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    cipher: undefined,
  },
]
for (const { name, offer, tls13 = true, cipher } of VERSIONS) {
  test(`${name} is ${cipher === undefined ? 'refused' : `served with ${cipher}`}`, async (t) => {
    const { connect, log } = await startServer(t, { tls13 })
    if (cipher === undefined) {
      await assert.rejects(connect(offer))
      const { level } = await log.line(/^connection 127\.0\.0\.1:\d+: TLS handshake failed: /)
      assert.equal(level, 'error')
      return
    }
    const client = await connect(offer)
    assert.equal(client.socket.getCipher().name, cipher)
    assert.equal((await client.ask(1, { opcode: OPCODES.OpPing.code })).operation.opcode, OPCODES.OpPong.code)
  })
}

test('TLS 1.2 with an RSA certificate is served with ECDHE-RSA-AES256-GCM-SHA384', async (t) => {
  const { ca } = await pki()
  const identity = await ca.issue({ ipAddresses: ['127.0.0.1'], keyAlgorithm: 'rsa-2048' })
  const { connect } = await startServer(t, { cert: identity.chainPem, key: identity.privateKeyPem })
  const ciphers = 'ECDHE-RSA-AES256-GCM-SHA384'
  const client = await connect({ maxVersion: 'TLSv1.2', ciphers })
  assert.equal(client.socket.getCipher().name, ciphers)
})

for (const ecdhCurve of ['X25519MLKEM768', 'X25519', 'P-256', 'P-384']) {
  test(`a client that knows only the group ${ecdhCurve} is served`, async (t) => {
    const { connect } = await startServer(t)
    const client = await connect({ ecdhCurve })
    assert.equal((await client.ask(1, { opcode: OPCODES.OpPing.code })).operation.opcode, OPCODES.OpPong.code)
  })
}

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a session is not resumed over ${maxVersion}: the client certificate is judged each time`, async (t) => {
    const { connect } = await startServer(t)
    const first = await connect({ maxVersion })
    await first.ask(1, { opcode: OPCODES.OpPing.code })
    const session = first.socket.getSession()
    const second = await connect({ maxVersion, session })
    await second.ask(1, { opcode: OPCODES.OpPing.code })
    assert.equal(second.socket.isSessionReused(), false)
  })
}

test('a TCP health check is a debug line', async (t) => {
  const { port, log } = await startServer(t)
  const socket = connectTcp(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.end()
  const { level } = await log.line(/^connection 127\.0\.0\.1:\d+: closed by client before TLS handshake$/)
  assert.equal(level, 'debug')
  assert.deepEqual(log.lines('error'), [])
})

test('a TCP health check that resets is a debug line', async (t) => {
  const { port, log } = await startServer(t)
  const socket = connectTcp(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.resetAndDestroy()
  const { level } = await log.line(/^connection 127\.0\.0\.1:\d+: closed by client before TLS handshake$/)
  assert.equal(level, 'debug')
  assert.deepEqual(log.lines('error'), [])
})

test('a client that speaks no TLS is logged as a failed handshake', async (t) => {
  const { port, log } = await startServer(t)
  const socket = connectTcp(port, '127.0.0.1').on('error', () => {})
  socket.write('GET / HTTP/1.0\r\n\r\n')
  await log.line(/^connection 127\.0\.0\.1:\d+: TLS handshake failed: http request$/)
  socket.destroy()
})

test('a client that does not trust the server is logged as a failed handshake', async (t) => {
  const { port, log } = await startServer(t)
  const socket = connectTls({ host: '127.0.0.1', port, ca: (await createThrowawayCa()).certificatePem })
  await once(socket, 'error')
  await log.line(/^connection 127\.0\.0\.1:\d+: TLS handshake failed: closed by client in the middle of it$/)
})

for (const [name, bytes] of Object.entries({ silent: '', halfway: '1603010200' })) {
  test(`a ${name} client is cut off when its handshake takes too long`, async (t) => {
    const { port, log } = await startServer(t, { limits: { handshakeTimeoutMs: 100 } })
    const socket = connectTcp(port, '127.0.0.1')
    socket.write(Buffer.from(bytes, 'hex'))
    await once(socket.resume(), 'close')
    const { level } = await log.line(/TLS handshake/)
    assert.equal(level, bytes === '' ? 'debug' : 'error')
  })
}

test('bytes of a refused client are never looked at', async (t) => {
  const { ca } = await pki()
  const arrived: number[] = []
  const server = await startServer(t, { observer: { requestArrived: (opcode) => arrived.push(opcode) } })
  assert.equal(await isServed(server, await ca.issue({ extendedKeyUsages: ['serverAuth'] })), false)
  assert.equal(await isServed(server), false)
  assert.deepEqual(arrived, [])
})

// Scoped signing over a socket: what a TLS server signs passes, what anyone else would like signed does not.
import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import type { PrivateKey, SignatureAlgorithm } from '@latchkey/keys'
import { OPCODES, opcodeForSignature, SCOPED_SIGNING_PROTOCOL, SIGNING_SCOPES } from '@latchkey/wire'
import { scopeFlaw } from '../src/scoped-signing.ts'
import { errorByte, type TestClient } from './support/test-client.ts'
import { storeOf, testKey } from './support/test-keys.ts'
import { startServer, type TestServer } from './support/test-server.ts'

const P256 = testKey('p256')
const P384 = testKey('p384')
const RSA = testKey('rsa2048')
const ED25519 = testKey('ed25519')
const KEYS = [P256, P384, RSA, ED25519]

const SERVER = 'TLS 1.3, server CertificateVerify'
const verifyContent = (context = SERVER, hashBytes = 32): Uint8Array =>
  Buffer.concat([Buffer.from(`${' '.repeat(64)}${context}\0`), randomBytes(hashBytes)])
const exchangeContent = (curve: number, point: Uint8Array): Uint8Array =>
  Buffer.concat([randomBytes(64), Buffer.of(3, curve >> 8, curve & 255, point.length), point])
const POINT = Buffer.concat([Buffer.of(4), randomBytes(64)])

async function scopedClient(t: TestContext): Promise<TestServer & { readonly client: TestClient }> {
  const server = await startServer(t, { keyStore: storeOf(...KEYS) })
  const client = await server.connect({ ALPNProtocols: [SCOPED_SIGNING_PROTOCOL] })
  assert.equal(client.socket.alpnProtocol, SCOPED_SIGNING_PROTOCOL)
  return { ...server, client }
}

const request = (key: PrivateKey, algorithm: SignatureAlgorithm, scope: number, payload: Uint8Array) => ({
  opcode: opcodeForSignature(algorithm),
  ski: key.ski,
  payload,
  extra: Uint8Array.of(scope),
})

const CV = SIGNING_SCOPES['tls13-server-cv']
const SKE = SIGNING_SCOPES['tls12-ske']

test("the content of a server's CertificateVerify is hashed and signed", async (t) => {
  const { client } = await scopedClient(t)
  const content = verifyContent()
  const ecdsa = await client.ask(1, request(P256, 'ecdsa_sha256', CV, content))
  assert.ok(verify('sha256', content, P256.publicKey, ecdsa.operation.payload ?? assert.fail()))
  const ed = await client.ask(2, request(ED25519, 'ed25519', CV, content))
  assert.ok(verify(null, content, ED25519.publicKey, ed.operation.payload ?? assert.fail()))
  const long = verifyContent(SERVER, 48)
  const p384 = await client.ask(3, request(P384, 'ecdsa_sha384', CV, long))
  assert.ok(verify('sha384', long, P384.publicKey, p384.operation.payload ?? assert.fail()))
  const pss = await client.ask(4, request(RSA, 'rsa_pss_sha256', CV, content))
  assert.equal(pss.operation.payload?.length, 256)
})

test('the input of a ServerKeyExchange is hashed and signed', async (t) => {
  const { client } = await scopedClient(t)
  for (const [id, content] of [
    exchangeContent(23, POINT),
    exchangeContent(24, Buffer.concat([Buffer.of(4), randomBytes(96)])),
    exchangeContent(29, randomBytes(32)),
  ].entries()) {
    const reply = await client.ask(id, request(RSA, 'rsa_pkcs1_sha256', SKE, content))
    assert.ok(verify('sha256', content, RSA.publicKey, reply.operation.payload ?? assert.fail()))
  }
})

const JWT = Buffer.from(
  `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.${Buffer.from('{"sub":"admin"}').toString('base64url')}`,
)
const CERTIFICATE = P256.publicKey.export({ type: 'spki', format: 'der' })
const DELEGATED = Buffer.from(`${' '.repeat(64)}TLS, server delegated credentials\0${'x'.repeat(32)}`)

const REFUSED: readonly [what: string, key: PrivateKey, SignatureAlgorithm, scope: number, Uint8Array][] = [
  ['a token', P256, 'ecdsa_sha256', CV, JWT],
  ['a token as a key exchange', P256, 'ecdsa_sha256', SKE, JWT],
  ['a certificate', P256, 'ecdsa_sha256', CV, CERTIFICATE],
  ['a certificate as a key exchange', P256, 'ecdsa_sha256', SKE, CERTIFICATE],
  [
    "a client's CertificateVerify",
    P256,
    'ecdsa_sha256',
    CV,
    verifyContent('TLS 1.3, client CertificateVerify'),
  ],
  [
    "a client's as a key exchange",
    RSA,
    'rsa_pss_sha256',
    SKE,
    verifyContent('TLS 1.3, client CertificateVerify'),
  ],
  ['a delegated credential', P256, 'ecdsa_sha256', CV, DELEGATED],
  ['a delegated credential as a key exchange', P256, 'ecdsa_sha256', SKE, DELEGATED],
  ['a transcript hash of another length', P256, 'ecdsa_sha256', CV, verifyContent(SERVER, 33)],
  ['a message for Ed25519', ED25519, 'ed25519', CV, JWT],
  ['a digest', P256, 'ecdsa_sha256', CV, randomBytes(32)],
  ['nothing', P256, 'ecdsa_sha256', CV, new Uint8Array()],
  ['PKCS#1 v1.5 in TLS 1.3', RSA, 'rsa_pkcs1_sha256', CV, verifyContent()],
  ['SHA-1 in TLS 1.2', RSA, 'rsa_pkcs1_sha1', SKE, exchangeContent(23, POINT)],
  ['the hash of another curve in TLS 1.3', P256, 'ecdsa_sha384', CV, verifyContent(SERVER, 48)],
  ['an unknown curve', RSA, 'rsa_pkcs1_sha256', SKE, exchangeContent(22, POINT)],
  [
    'a compressed point',
    RSA,
    'rsa_pkcs1_sha256',
    SKE,
    exchangeContent(23, Buffer.concat([Buffer.of(2), POINT.subarray(1)])),
  ],
  [
    'a point with something behind it',
    RSA,
    'rsa_pkcs1_sha256',
    SKE,
    Buffer.concat([exchangeContent(23, POINT), Buffer.of(0)]),
  ],
  ['an unknown scope', P256, 'ecdsa_sha256', 9, verifyContent()],
]
for (const [what, key, algorithm, scope, payload] of REFUSED) {
  test(`refused, and logged: ${what}`, async (t) => {
    const { client, log } = await scopedClient(t)
    assert.equal(errorByte(await client.ask(1, request(key, algorithm, scope, payload))), 2)
    await log.line(/^failed to load key with sni= .*denied, out of scope: /)
  })
}

test('nobody is asked for a scope who did not agree to it: item 0x14 means nothing there', async (t) => {
  const { connect } = await startServer(t, { keyStore: storeOf(...KEYS) })
  const client = await connect()
  assert.equal(client.socket.alpnProtocol, false)
  const payload = randomBytes(32)
  const reply = await client.ask(1, request(P256, 'ecdsa_sha256', CV, payload))
  assert.equal(errorByte(reply), undefined)
  assert.equal(errorByte(await client.ask(2, request(P256, 'ecdsa_sha256', CV, verifyContent()))), 1)
})

test('who agreed to scopes may still send a digest', async (t) => {
  const { client } = await scopedClient(t)
  const { opcode, ski } = request(P256, 'ecdsa_sha256', CV, JWT)
  assert.equal(errorByte(await client.ask(1, { opcode, ski, payload: randomBytes(32) })), undefined)
  assert.equal(
    errorByte(await client.ask(2, { opcode: OPCODES.OpPing.code, extra: Uint8Array.of(1) })),
    undefined,
  )
})

// As the curves' lines of RFC 8422 §5.1.1 come out on the wire: number, length of the key, first byte.
const EXCHANGE_TAILS = ['001741', '001861', '001985', '001d20', '001e38']

test('whatever is signed under a scope is of its one shape', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = { publicKey }
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ minLength: 64, maxLength: 300 }).map((bytes) => {
      bytes.set([3, 0, 23, 65, 4], Math.min(64, bytes.length - 5))
      return bytes
    }),
    fc
      .tuple(fc.constantFrom(SERVER, 'TLS 1.3, client CertificateVerify', ''), fc.nat(64))
      .map(([context, length]) => verifyContent(context, length)),
  )
  fc.assert(
    fc.property(anything, (content) => {
      const text = Buffer.from(content).toString('latin1')
      if (scopeFlaw('tls13-server-cv', content, 'ecdsa_sha256', key) === undefined) {
        assert.equal(text.slice(0, 98), `${' '.repeat(64)}${SERVER}\0`)
        assert.ok([32, 48].includes(text.length - 98))
      }
      if (scopeFlaw('tls12-ske', content, 'ecdsa_sha256', key) === undefined) {
        assert.equal(content[64], 3)
        const tail = Buffer.from(content.subarray(65))
        assert.ok(EXCHANGE_TAILS.includes(tail.toString('hex', 0, 3)))
        assert.equal(tail.length, 3 + (tail[2] ?? 0))
      }
    }),
    { numRuns: 2000 },
  )
})

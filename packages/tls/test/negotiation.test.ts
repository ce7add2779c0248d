// What a handshake agrees on. RFC 8446 §4.1.1, RFC 8701.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadCredential, type NamedHello } from '@latchkey/tls'
import { ascii, concat, u16, u8, vector16, vector8 } from './support/bytes.ts'
import { testCertificate } from './support/certificate.ts'
import { EXTENSION, GROUP, RECORD, SCHEME, SUITE } from './support/code-points.ts'
import { testContext, testCredential, Wire, Wire12 } from './support/harness.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import { grease } from './support/test-client.ts'

test('an RSA key signs with each PSS scheme that a client may offer alone', () => {
  const context = testContext({ kinds: ['rsa2048'] })
  const schemes = [SCHEME.rsa_pss_rsae_sha256, SCHEME.rsa_pss_rsae_sha384, SCHEME.rsa_pss_rsae_sha512]
  for (const scheme of schemes) {
    const wire = new Wire({ context, hello: { schemes: [scheme] } }).start()
    assertEstablished(wire)
    assert.equal(wire.client.scheme, scheme)
  }
})

test('a key whose home can do no more than PKCS#1 v1.5 is for TLS 1.2 only', () => {
  const { chainPem } = testCertificate('rsa2048')
  const credential = loadCredential({ chain: chainPem, schemes: ['rsa_pkcs1_sha256'] })
  const context = testContext({ certificates: { select: () => [credential] } })
  assertRefused(new Wire({ context }).start(), 'protocol_version')
  const wire = new Wire12({ context, hello: { suites: [0xc02f] } }).start()
  assertEstablished(wire)
  assert.equal(wire.session?.signatureScheme, 'rsa_pkcs1_sha256')
})

test('the certificate store sees for whom a hello is: name and protocols', () => {
  const seen: NamedHello[] = []
  const context = testContext({
    alpnProtocols: [],
    certificates: {
      select: ({ serverName, alpnProtocols }) => {
        seen.push({ serverName, alpnProtocols })
        return [testCredential('p256')]
      },
    },
  })
  const body = vector16(vector8(ascii('acme-tls/1')), vector8(ascii('h2')))
  assertEstablished(new Wire({ context, hello: { extra: [{ type: EXTENSION.alpn, body }] } }).start())
  assertEstablished(new Wire({ context }).start())
  // Asked for the version, and for the certificate.
  const distinct = new Set(seen.map((each) => JSON.stringify(each)))
  assert.deepEqual(
    [...distinct],
    [
      JSON.stringify({ serverName: 'example.com', alpnProtocols: ['acme-tls/1', 'h2'] }),
      JSON.stringify({ serverName: 'example.com' }),
    ],
  )
})

test('the first credential the client can check is served', () => {
  const context = testContext({ kinds: ['ed25519', 'p256', 'rsa2048'] })
  const rows = [
    { schemes: [SCHEME.ed25519, SCHEME.ecdsa_secp256r1_sha256], scheme: SCHEME.ed25519 },
    {
      schemes: [SCHEME.rsa_pss_rsae_sha256, SCHEME.ecdsa_secp256r1_sha256],
      scheme: SCHEME.ecdsa_secp256r1_sha256,
    },
    { schemes: [SCHEME.rsa_pkcs1_sha256, SCHEME.rsa_pss_rsae_sha256], scheme: SCHEME.rsa_pss_rsae_sha256 },
  ]
  for (const { schemes, scheme } of rows) {
    const wire = new Wire({ context, hello: { schemes } }).start()
    assertEstablished(wire)
    assert.equal(wire.client.scheme, scheme)
  }
})

test('a usable share is taken even where the client prefers another group', () => {
  const wire = new Wire({
    shares: [GROUP.secp256r1],
    hello: { groups: [GROUP.x448, GROUP.x25519, GROUP.secp256r1] },
  }).start()
  assertEstablished(wire)
  assert.equal(wire.client.retries, 0)
  assert.equal(wire.client.group, GROUP.secp256r1)
})

test('of two usable shares the first in the order of the server is taken', () => {
  for (const shares of [
    [GROUP.x25519, GROUP.secp256r1],
    [GROUP.secp256r1, GROUP.x25519],
  ]) {
    assert.equal(new Wire({ shares }).start().client.group, GROUP.x25519)
    const context = testContext({ groups: ['secp256r1', 'x25519'] })
    assert.equal(new Wire({ shares, context }).start().client.group, GROUP.secp256r1)
  }
})

test('suites are chosen in the order of the server, ChaCha20 first for a client without AES hardware', () => {
  const {
    TLS_AES_128_GCM_SHA256: a128,
    TLS_AES_256_GCM_SHA384: a256,
    TLS_CHACHA20_POLY1305_SHA256: chacha,
  } = SUITE
  const rows: [readonly number[], number][] = [
    [[a256, a128], a128],
    [[a256, chacha, a128], a128],
    [[chacha, a256, a128], chacha],
    [[grease(3), chacha, a128], chacha],
    [[0x00ff, 0xc02f, a256], a256],
  ]
  for (const [suites, chosen] of rows) {
    const wire = new Wire({ hello: { suites } }).start()
    assertEstablished(wire)
    assert.equal(wire.client.suite?.code, chosen)
  }
})

test('ALPN follows the order of the server, and is answered only when asked', () => {
  const context = testContext({ alpnProtocols: ['h2', 'http/1.1'] })
  const rows: [readonly string[] | undefined, string | undefined][] = [
    [['http/1.1', 'h2'], 'h2'],
    [['http/1.1', 'unknown'], 'http/1.1'],
    [undefined, undefined],
  ]
  for (const [alpn, chosen] of rows) {
    const wire = new Wire({ context, hello: { alpn } }).start()
    assertEstablished(wire)
    assert.equal(wire.client.protocol, chosen)
    if (chosen !== undefined) assert.equal(wire.session?.alpnProtocol, chosen)
  }
})

test('EncryptedExtensions holds nothing the client did not ask for', () => {
  const wire = new Wire({
    context: testContext({ isDefault: true }),
    hello: { serverName: undefined },
  }).start()
  assertEstablished(wire)
  assert.deepEqual([...wire.client.encryptedExtensions.keys()], [])
  const named = new Wire().start()
  assert.deepEqual(
    [...named.client.encryptedExtensions].map(([type, body]) => [type, body.length]),
    [[EXTENSION.server_name, 0]],
  )
})

test('server names match exactly, then by wildcard, in any case', () => {
  for (const serverName of ['example.com', 'EXAMPLE.com', 'a.example.com', 'A.Example.Com']) {
    const wire = new Wire({ hello: { serverName } }).start()
    assertEstablished(wire)
    assert.equal(wire.session?.serverName, serverName.toLowerCase())
  }
})

test('a client outside compatibility mode gets no change_cipher_spec', () => {
  for (const shares of [[GROUP.x25519], []]) {
    const wire = new Wire({ shares, compatibility: false, hello: { sessionId: new Uint8Array(0) } }).start()
    assertEstablished(wire)
    assert.equal(wire.client.records.filter(({ outerType }) => outerType === RECORD.ccs).length, 0)
  }
})

test('a client in compatibility mode gets one change_cipher_spec, after the first server message', () => {
  for (const shares of [[GROUP.x25519], []]) {
    const wire = new Wire({ shares }).start()
    assertEstablished(wire)
    const types = wire.client.records.map(({ outerType }) => outerType)
    assert.equal(types.filter((type) => type === RECORD.ccs).length, 1)
    assert.deepEqual(types.slice(0, 2), [RECORD.handshake, RECORD.ccs])
  }
})

test('GREASE is ignored everywhere a client may put it', () => {
  const wire = new Wire({
    hello: {
      suites: [grease(1), SUITE.TLS_AES_128_GCM_SHA256],
      versions: [grease(2), 0x0304, 0x0303],
      groups: [grease(4), GROUP.x25519],
      schemes: [grease(5), SCHEME.ecdsa_secp256r1_sha256],
      alpn: ['\u008a\u008a', 'http/1.1'],
      extra: [
        { type: grease(6), body: new Uint8Array(0) },
        { type: grease(7), body: u8(0) },
        { type: EXTENSION.psk_key_exchange_modes, body: vector8(Uint8Array.of(0x0b, 1)) },
      ],
      arrange: (extensions) =>
        extensions.map(({ type, body }) =>
          type === EXTENSION.key_share
            ? { type, body: vector16(u16(grease(4)), vector16(u8(0)), body.subarray(2)) }
            : { type, body },
        ),
    },
  }).start()
  assertEstablished(wire)
})

test('extensions a server may ignore change nothing', () => {
  const extra = [
    { type: EXTENSION.status_request, body: concat(u8(1), u16(0), u16(0)) },
    { type: EXTENSION.session_ticket, body: new Uint8Array(0) },
    { type: EXTENSION.psk_key_exchange_modes, body: vector8(u8(1)) },
    { type: EXTENSION.post_handshake_auth, body: new Uint8Array(0) },
    { type: EXTENSION.padding, body: new Uint8Array(300) },
    { type: 0xff01, body: u8(0) },
    { type: 0x4469, body: ascii('unknown to everyone') },
  ]
  assertEstablished(new Wire({ hello: { extra } }).start())
})

test('extensions may come in any order', () => {
  assertEstablished(new Wire({ hello: { arrange: (extensions) => extensions.toReversed() } }).start())
})

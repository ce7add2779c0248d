// Handshakes that must succeed. RFC 8446 §2, §4.1.4, §5.1; tls-engine §5, §6.1, §6.3.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CipherSuiteName, createLocalSigner, type GroupName } from '@latchkey/tls'
import { ascii, concat, toHex, u16, u8, vector16, vector8 } from './support/bytes.ts'
import { encodeHello } from './support/client-hello.ts'
import { serverSignedContent } from './support/client-crypto.ts'
import { hashOf } from './support/client-keys.ts'
import { EXTENSION, GROUP, MESSAGE, RECORD, SCHEME, SUITE } from './support/code-points.ts'
import { KEY_KINDS, testCertificate } from './support/certificate.ts'
import { signatureFor, testContext, Wire } from './support/harness.ts'
import { grease } from './support/test-client.ts'

const GROUPS: readonly [GroupName, number][] = [
  ['x25519', GROUP.x25519],
  ['secp256r1', GROUP.secp256r1],
]

function assertEstablished(wire: Wire): void {
  assert.equal(wire.error, undefined)
  assert.equal(wire.alert, undefined)
  assert.equal(wire.establishedCount, 1)
  assert.equal(wire.client.state, 'connected')
  wire.client.send(ascii('ping'))
  wire.run()
  assert.equal(Buffer.from(wire.received).toString(), 'ping')
  wire.server.send([ascii('po'), ascii('ng')])
  wire.run()
  assert.equal(Buffer.from(wire.client.received).toString(), 'pong')
}

for (const kind of KEY_KINDS) {
  const context = testContext({ kinds: [kind] })
  for (const [suiteName, suite] of Object.entries(SUITE)) {
    for (const [groupName, group] of GROUPS) {
      test(`a handshake with ${kind}, ${suiteName}, ${groupName}`, () => {
        const wire = new Wire({
          context,
          shares: [group],
          hello: { suites: [suite], groups: [group] },
        }).start()
        assertEstablished(wire)
        assert.equal(wire.session?.cipherSuite, suiteName as CipherSuiteName)
        assert.equal(wire.session.group, groupName)
        assert.equal(wire.session.serverName, 'example.com')
        assert.equal(wire.session.usedHelloRetryRequest, false)
        assert.equal(wire.signCalls.length, 1)
        assert.equal(toHex(wire.client.chain[0] as Uint8Array), toHex(testCertificate(kind).der))
      })
    }
  }
}

test('an RSA key signs with each PSS scheme that a client may offer alone', () => {
  const context = testContext({ kinds: ['rsa2048'] })
  const schemes = [SCHEME.rsa_pss_rsae_sha256, SCHEME.rsa_pss_rsae_sha384, SCHEME.rsa_pss_rsae_sha512]
  for (const scheme of schemes) {
    const wire = new Wire({ context, hello: { schemes: [scheme] } }).start()
    assertEstablished(wire)
    assert.equal(wire.client.scheme, scheme)
  }
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

test('the sign request carries the bytes that TLS says are signed, and nothing more is asked', () => {
  for (const suite of Object.values(SUITE)) {
    const wire = new Wire({ hello: { suites: [suite] }, signing: 'hold' }).start()
    const [call] = wire.signCalls
    assert.ok(call !== undefined)
    const { request, id } = call
    assert.equal(toHex(request.keyId), toHex(testCertificate('p256').keyId))
    assert.equal(request.scheme, SCHEME.ecdsa_secp256r1_sha256)
    assert.equal(request.purpose, 'tls13-server-cv')
    assert.equal(request.serverName, 'example.com')
    assert.equal(request.clientAddress, '192.0.2.1')
    wire.server.signed(id, signatureFor(request))
    wire.run()
    assertEstablished(wire)
    // ClientHello, ServerHello, EncryptedExtensions, Certificate.
    const hash = hashOf(wire.client.suite?.hash ?? '', ...wire.client.transcript.slice(0, 4))
    assert.equal(toHex(request.content), toHex(serverSignedContent(hash)))
    assert.equal(wire.signCalls.length, 1)
  }
})

test('a signature may come from inside the handler, later, or after more bytes of the client', () => {
  assertEstablished(new Wire({ signing: 'at once' }).start())
  assertEstablished(new Wire({ signing: 'after' }).start())

  const wire = new Wire({ signing: 'hold' }).start()
  const [call] = wire.signCalls
  assert.ok(call !== undefined)
  wire.client.changeCipherSpec()
  wire.run()
  assert.equal(wire.error, undefined)
  assert.equal(wire.establishedCount, 0)
  wire.server.signed(call.id, signatureFor(call.request))
  wire.run()
  assertEstablished(wire)
})

test('the local signer answers what the engine asks, for every kind of key', async () => {
  const signer = createLocalSigner(KEY_KINDS.map(testCertificate))
  for (const kind of KEY_KINDS) {
    const wire = new Wire({ context: testContext({ kinds: [kind] }), signing: 'hold' }).start()
    const [call] = wire.signCalls
    assert.ok(call !== undefined)
    wire.server.signed(call.id, await signer.sign(call.request, new AbortController().signal))
    wire.run()
    assertEstablished(wire)
  }
})

test('a HelloRetryRequest leads to the group the server wants', () => {
  for (const [groupName, group] of GROUPS) {
    for (const suite of Object.values(SUITE)) {
      const context = testContext({ groups: [groupName] })
      const other = group === GROUP.x25519 ? GROUP.secp256r1 : GROUP.x25519
      const wire = new Wire({ context, shares: [other], hello: { suites: [suite] } }).start()
      assertEstablished(wire)
      assert.equal(wire.client.retries, 1)
      assert.equal(wire.client.group, group)
      assert.equal(wire.session?.usedHelloRetryRequest, true)
      assert.equal(wire.signCalls.length, 1)
    }
  }
})

test('an empty key share list asks for a retry with the first common group of the server', () => {
  const wire = new Wire({ shares: [] }).start()
  assertEstablished(wire)
  assert.equal(wire.client.retries, 1)
  assert.equal(wire.client.group, GROUP.x25519)
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

test('every flight arrives byte by byte', () => {
  for (const shares of [[GROUP.x25519], []]) {
    for (const kind of KEY_KINDS) {
      assertEstablished(new Wire({ context: testContext({ kinds: [kind] }), shares, pieceBytes: 1 }).start())
    }
  }
})

/** `bytes` in two records, cut at `at`. */
function inTwoRecords(wire: Wire, bytes: Uint8Array, at: number): void {
  wire.client.plain(RECORD.handshake, bytes.subarray(0, at)).plain(RECORD.handshake, bytes.subarray(at))
}

test('a ClientHello may be cut between two records at every byte', () => {
  const length = encodeHello(new Wire().client.hello).length
  for (let at = 1; at < length; at++) {
    const wire = new Wire({ signing: 'hold' })
    inTwoRecords(wire, wire.client.noteHello(), at)
    wire.run()
    assert.equal(wire.error, undefined)
    assert.equal(wire.signCalls.length, 1, `cut at ${at}`)
  }
})

test('a second ClientHello and a Finished may be cut between two records at every byte', () => {
  const second = new Wire({ shares: [], autoRetry: false }).start()
  const length = encodeHello(second.client.hello).length
  for (let at = 1; at < length; at += 7) {
    const wire = new Wire({ shares: [], autoRetry: false }).start()
    inTwoRecords(wire, wire.client.noteHello(), at)
    wire.run()
    assertEstablished(wire)
  }
  for (const suite of [SUITE.TLS_AES_128_GCM_SHA256, SUITE.TLS_AES_256_GCM_SHA384]) {
    for (let at = 1; at < (suite === SUITE.TLS_AES_256_GCM_SHA384 ? 52 : 36); at++) {
      const wire = new Wire({ autoFinish: false, hello: { suites: [suite] } }).start()
      const finished = wire.client.finishedMessage()
      const { client } = wire
      client.seal(RECORD.handshake, finished.subarray(0, at))
      client.seal(RECORD.handshake, finished.subarray(at)).finished(finished)
      wire.run()
      assertEstablished(wire)
    }
  }
})

test('a ClientHello may come in 32 records', () => {
  const wire = new Wire()
  const hello = wire.client.noteHello()
  for (let at = 0; at < 31; at++) wire.client.plain(RECORD.handshake, hello.subarray(at, at + 1))
  wire.client.plain(RECORD.handshake, hello.subarray(31))
  assertEstablished(wire.run())
})

test('the first record may carry any minor version', () => {
  for (const version of [0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x03ff]) {
    const wire = new Wire()
    wire.client.plain(RECORD.handshake, wire.client.noteHello(), version)
    assertEstablished(wire.run())
  }
})

test('the version of later records is ignored, because the AEAD binds it', () => {
  const wire = new Wire().start()
  wire.client.send(ascii('odd'), { version: 0x0302 })
  wire.run()
  assert.equal(Buffer.from(wire.received).toString(), 'odd')
})

test('each connection has its own randomness', () => {
  const seen = new Set<string>()
  for (let count = 0; count < 20; count++) {
    const wire = new Wire().start()
    const hello = wire.client.messages.find(({ type }) => type === MESSAGE.server_hello)
    assert.ok(hello !== undefined)
    seen.add(toHex(hello.body.subarray(2, 34)))
    // The share is the end of the hello but for supported_versions, wherever the server puts that.
    seen.add(toHex(hello.body.subarray(-46)))
  }
  assert.equal(seen.size, 40)
})

test('connections may take turns: nothing is shared between them', () => {
  const context = testContext()
  const wires = Array.from(
    { length: 8 },
    (_, index) => new Wire({ context, signing: index % 2 === 0 ? 'hold' : 'after' }),
  )
  for (const wire of wires) wire.start()
  for (const { server, signCalls } of wires) {
    for (const { id, request } of signCalls) server.signed(id, signatureFor(request))
  }
  for (const wire of wires) assertEstablished(wire.run())
})

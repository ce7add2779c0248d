// TLS 1.2 handshakes that come to their end, and what they agree on. RFC 5246 §7.3, RFC 8422.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CIPHER_SUITES12, type SignRequest } from '@latchkey/tls'
import { ascii, toHex, u8, vector16, vector8 } from './support/bytes.ts'
import { KEY_KINDS, type KeyKind, testCertificate } from './support/certificate.ts'
import { encodeHello, message, numbers16 } from './support/client-hello.ts'
import {
  EXTENSION,
  GROUP,
  MESSAGE,
  RECORD,
  RSA_SUITE12,
  SCHEME,
  SUITE,
  SUITE12,
} from './support/code-points.ts'
import { testContext, Wire, Wire12 } from './support/harness.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import { EXTENDED_MASTER_SECRET, POINT_FORMATS, RENEGOTIATION_INFO } from './support/test-client12.ts'
import { grease } from './support/test-client.ts'

const context = testContext({ kinds: ['p256', 'rsa2048'] })

function kindFor(name: string): KeyKind {
  return name.includes('_RSA_') ? 'rsa2048' : 'p256'
}

// ── what is agreed ──────────────────────────────────────────────────────────────────────────────────────────────────

for (const [name, suite] of Object.entries(SUITE12)) {
  for (const [groupName, group] of Object.entries({ x25519: GROUP.x25519, secp256r1: GROUP.secp256r1 })) {
    for (const hasExtendedMasterSecret of [true, false]) {
      const secret = hasExtendedMasterSecret ? 'extended' : 'old'
      test(`${name} with ${groupName} and the ${secret} master secret`, () => {
        const own = testContext({ kinds: [kindFor(name)], groups: [groupName as 'x25519' | 'secp256r1'] })
        const wire = new Wire12({ context: own, hasExtendedMasterSecret, hello: { suites: [suite] } }).start()
        assertEstablished(wire)
        assert.equal(wire.client.suite?.code, suite)
        assert.equal(wire.client.group, group)
        assert.equal(wire.client.extensions.has(EXTENSION.extended_master_secret), hasExtendedMasterSecret)
        const { session } = wire
        assert.deepEqual(
          [session?.protocol, session?.cipherSuite, session?.group, session?.isResumed],
          ['TLSv1.2', name, groupName, false],
        )
      })
    }
  }
}

test('the table of suites has the code points of the RFCs', () => {
  const codes = Object.entries(CIPHER_SUITES12).map(([name, { code }]) => [name, code])
  assert.deepEqual(Object.fromEntries(codes), { ...SUITE12, ...RSA_SUITE12 })
})

test('P-384 is used where it is asked for', () => {
  const groups = [GROUP.secp256r1, GROUP.secp384r1]
  const own = testContext({ groups: ['secp384r1'] })
  const { client } = new Wire12({ context: own, autoFinish: false, hello: { groups } }).start()
  assert.equal(client.state, 'server done')
  assert.equal(client.group, GROUP.secp384r1)
  assert.equal(client.keyExchangeBody().length, 98)
})

const SCHEMES_OF: Readonly<Record<KeyKind, readonly number[]>> = {
  p256: [SCHEME.ecdsa_secp256r1_sha256, SCHEME.ecdsa_secp384r1_sha384, SCHEME.ecdsa_secp521r1_sha512],
  p384: [SCHEME.ecdsa_secp384r1_sha384, SCHEME.ecdsa_secp256r1_sha256, SCHEME.ecdsa_secp521r1_sha512],
  rsa2048: [
    SCHEME.rsa_pss_rsae_sha256,
    SCHEME.rsa_pss_rsae_sha384,
    SCHEME.rsa_pss_rsae_sha512,
    SCHEME.rsa_pkcs1_sha256,
    SCHEME.rsa_pkcs1_sha384,
    SCHEME.rsa_pkcs1_sha512,
  ],
  ed25519: [SCHEME.ed25519],
}

for (const kind of KEY_KINDS) {
  test(`a ${kind} key signs with each scheme of its kind, the best first`, () => {
    const own = testContext({ kinds: [kind] })
    for (const [index, scheme] of SCHEMES_OF[kind].entries()) {
      const alone = new Wire12({ context: own, hello: { schemes: [scheme] } }).start()
      assertEstablished(alone)
      assert.equal(alone.client.scheme, scheme)
      const schemes = SCHEMES_OF[kind].slice(index).toReversed()
      assert.equal(new Wire12({ context: own, hello: { schemes } }).start().client.scheme, scheme)
    }
  })
}

test('the first credential with a suite and a scheme of the client is served', () => {
  const rows = [
    { suites: Object.values(SUITE12), kind: 'p256' },
    { suites: [SUITE12.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384], kind: 'rsa2048' },
    { suites: Object.values(SUITE12), schemes: [SCHEME.rsa_pkcs1_sha256], kind: 'rsa2048' },
    // RFC 8422 §5.1: the client must know the curve of the certificate.
    { suites: Object.values(SUITE12), groups: [GROUP.x25519], kind: 'rsa2048' },
  ] as const
  for (const { kind, ...hello } of rows) {
    const wire = new Wire12({ context, hello }).start()
    assertEstablished(wire)
    assert.deepEqual(wire.client.chain[0], new Uint8Array(testCertificate(kind).der))
    assert.equal(wire.client.chain.length, 2)
  }
})

test('suites are chosen in the order of the server, ChaCha20 first for a client without AES hardware', () => {
  const a128 = SUITE12.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
  const a256 = SUITE12.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
  const chacha = SUITE12.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
  const rows: [readonly number[], number][] = [
    [[a256, a128], a128],
    [[a256, chacha, a128], a128],
    [[chacha, a256, a128], chacha],
    [[SUITE12.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, chacha, a128], chacha],
    [[grease(1), 0x00ff, 0xc014, 0x009c, a256], a256],
  ]
  for (const [suites, chosen] of rows) {
    const wire = new Wire12({ hello: { suites } }).start()
    assertEstablished(wire)
    assert.equal(wire.client.suite?.code, chosen)
  }
})

test('the version is the highest of those that both have', () => {
  const rows = [
    { hello: { versions: undefined, legacyVersion: 0x0303 }, expected: 'TLSv1.2' },
    { hello: { versions: undefined, legacyVersion: 0x0304 }, expected: 'TLSv1.2' },
    { hello: { versions: [0x0303] }, expected: 'TLSv1.2' },
    { hello: { versions: [grease(1), 0x0302, 0x0303, 0x7f1c] }, expected: 'TLSv1.2' },
    { hello: { versions: [0x0303], legacyVersion: 0x0301 }, expected: 'TLSv1.2' },
  ]
  for (const { hello, expected } of rows) {
    const wire = new Wire12({ hello }).start()
    assertEstablished(wire)
    assert.equal(wire.session?.protocol, expected)
  }
  const suites = [...Object.values(SUITE12), ...Object.values(SUITE)]
  const newer = new Wire({ hello: { versions: [0x0303, 0x0304], suites } }).start()
  assertEstablished(newer)
  assert.equal(newer.session?.protocol, 'TLSv1.3')
})

test('the hybrid group is not for TLS 1.2', () => {
  const wire = new Wire12({ hello: { groups: [0x11ec, GROUP.secp256r1] } }).start()
  assertEstablished(wire)
  assert.equal(wire.client.group, GROUP.secp256r1)
})

// ── ServerHello ─────────────────────────────────────────────────────────────────────────────────────────────────────

test('row 30: ServerHello carries the downgrade sentinel', () => {
  const first = new Wire12().start().client.serverRandom
  const second = new Wire12().start().client.serverRandom
  assert.equal(toHex(first.subarray(24)), '444f574e47524401')
  assert.notEqual(toHex(first.subarray(0, 24)), toHex(second.subarray(0, 24)))
})

test('where TLS 1.3 is off, nothing is a downgrade: no sentinel, and the fallback signal is welcome', () => {
  const context = testContext({ maxVersion: 'TLSv1.2' })
  const suites = [...Object.values(SUITE12), 0x5600]
  for (const versions of [undefined, [0x0304, 0x0303]]) {
    const wire = new Wire12({ context, hello: { suites, versions } }).start()
    assertEstablished(wire)
    assert.notEqual(toHex(wire.client.serverRandom.subarray(24, 31)), '444f574e475244')
  }
  assertRefused(new Wire({ context }).start(), 'protocol_version')
  assert.throws(() => testContext({ minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' }), TypeError)
})

test('ServerHello of a full handshake has no session id: nothing is kept that could be resumed by it', () => {
  const wire = new Wire12().start()
  assert.equal(wire.client.hello.sessionId.length, 32)
  assert.equal(wire.client.serverSessionId.length, 0)
})

test('ServerHello answers what was offered, and nothing else', () => {
  const session = { type: EXTENSION.session_ticket, body: new Uint8Array(0) }
  const status = { type: EXTENSION.status_request, body: Uint8Array.of(1, 0, 0, 0, 0) }
  const rows = [
    { hello: { extra: [] }, expected: ['server_name'] },
    { hello: { extra: [], serverName: undefined }, expected: [] },
    { hello: { extra: [session, status] }, expected: ['server_name'] },
    {
      hello: { extra: [EXTENDED_MASTER_SECRET] },
      expected: ['server_name', 'extended_master_secret'],
    },
    { hello: { extra: [POINT_FORMATS] }, expected: ['server_name', 'ec_point_formats'] },
    { hello: { extra: [RENEGOTIATION_INFO] }, expected: ['server_name', 'renegotiation_info'] },
    {
      hello: { extra: [], suites: [...Object.values(SUITE12), 0x00ff] },
      expected: ['server_name', 'renegotiation_info'],
    },
    { hello: { extra: [], alpn: ['h2', 'http/1.1'] }, expected: ['server_name', 'alpn'] },
  ] as const
  const own = testContext({ isDefault: true })
  for (const { hello, expected } of rows) {
    const wire = new Wire12({ context: own, hello }).start()
    assertEstablished(wire)
    const types = expected.map((name): number => EXTENSION[name])
    assert.deepEqual(new Set(wire.client.extensions.keys()), new Set(types))
  }
  const { extensions } = new Wire12().start().client
  assert.deepEqual(
    [...extensions].map(([type, body]) => [type, toHex(body)]),
    [
      [EXTENSION.server_name, ''],
      [EXTENSION.renegotiation_info, '00'],
      [EXTENSION.extended_master_secret, ''],
      [EXTENSION.ec_point_formats, '0100'],
    ],
  )
})

test('ALPN follows the order of the server', () => {
  const own = testContext({ alpnProtocols: ['h2', 'http/1.1'] })
  const wire = new Wire12({ context: own, hello: { alpn: ['http/1.1', 'h2'] } }).start()
  assertEstablished(wire)
  assert.equal(wire.client.protocol, 'h2')
  assert.equal(wire.session?.alpnProtocol, 'h2')
})

// ── the signature ───────────────────────────────────────────────────────────────────────────────────────────────────

test('the signer gets the randoms and the share, before anything else is made', () => {
  const wire = new Wire12({ signing: 'hold' }).start()
  const { request } = wire.signCalls[0] as { request: SignRequest }
  assert.equal(wire.signCalls.length, 1)
  assert.equal(request.purpose, 'tls12-ske')
  assert.equal(request.serverName, 'example.com')
  assert.equal(request.clientAddress, '192.0.2.1')
  assert.equal(toHex(request.keyId), toHex(testCertificate('p256').keyId))
  const { random } = wire.client.hello
  assert.equal(toHex(request.content.subarray(0, 64)), toHex(random) + toHex(wire.client.serverRandom))
  assert.equal(toHex(request.content.subarray(64, 68)), '03001d20')
  assert.equal(request.content.length, 100)
  // ServerHello and Certificate do not wait for it.
  assert.deepEqual(
    wire.client.messages.map(({ type }) => type),
    [MESSAGE.server_hello, MESSAGE.certificate],
  )
})

test('a signature may come at once or much later', () => {
  assertEstablished(new Wire12({ signing: 'at once' }).start())
  const wire = new Wire12({ signing: 'hold' }).start()
  wire.sign(wire.signCalls[0] as (typeof wire.signCalls)[number])
  assertEstablished(wire.run())
  assert.equal(wire.signCalls.length, 1)
})

test('a signer that answers at once: the whole flight is one record', () => {
  const wire = new Wire12({ signing: 'at once', autoFinish: false }).start()
  assert.deepEqual(wire.client.recordTypes, [RECORD.handshake])
  assert.equal(wire.writes.length, 1)
})

// ── how bytes come ──────────────────────────────────────────────────────────────────────────────────────────────────

test('bytes may come in pieces of any size', () => {
  for (const pieceBytes of [1, 2, 3, 7, 64]) {
    assertEstablished(new Wire12({ context, pieceBytes }).start())
  }
})

test('each message of the client may be split at every byte', () => {
  const { client } = new Wire12({ autoFinish: false }).start()
  const helloBytes = encodeHello(client.hello).length
  for (let at = 1; at < helloBytes; at += 3) {
    const wire = new Wire12()
    const bytes = encodeHello(wire.client.hello)
    wire.client.start(bytes).take()
    wire.client.plain(RECORD.handshake, bytes.subarray(0, at)).plain(RECORD.handshake, bytes.subarray(at))
    assertEstablished(wire.run())
  }
  for (let at = 1; at < 37; at++) {
    const wire = new Wire12({ autoFinish: false }).start()
    const bytes = message(MESSAGE.client_key_exchange, wire.client.keyExchangeBody())
    wire.client.plain(RECORD.handshake, bytes.subarray(0, at)).plain(RECORD.handshake, bytes.subarray(at))
    wire.client.exchanged(bytes).changeCipherSpec().finish()
    assertEstablished(wire.run())
  }
  for (let at = 1; at < 16; at++) {
    const wire = new Wire12({ autoFinish: false }).start()
    wire.client.exchangeKeys().changeCipherSpec()
    const bytes = wire.client.finishedMessage()
    wire.client.record(RECORD.handshake, bytes.subarray(0, at))
    wire.client.finish(bytes.subarray(at))
    wire.client.transcript.splice(-1, 1, bytes)
    assertEstablished(wire.run())
  }
})

test('a hello of TLS 1.2 alone: no extension but those it needs', () => {
  const needed: readonly number[] = [EXTENSION.supported_groups, EXTENSION.signature_algorithms]
  const wire = new Wire12({
    context: testContext({ isDefault: true }),
    hello: {
      sessionId: new Uint8Array(0),
      serverName: undefined,
      extra: [],
      arrange: (all) => all.filter(({ type }) => needed.includes(type)),
    },
  }).start()
  assertEstablished(wire)
  assert.equal(wire.client.extensions.size, 0)
})

test('GREASE is ignored everywhere a client may put it', () => {
  const wire = new Wire12({
    hello: {
      suites: [grease(1), SUITE12.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256],
      groups: [grease(2), GROUP.x25519, GROUP.secp256r1],
      schemes: [grease(3), SCHEME.ecdsa_secp256r1_sha256],
      alpn: ['\u008a\u008a', 'http/1.1'],
      extra: [
        { type: grease(6), body: new Uint8Array(0) },
        { type: grease(7), body: u8(0) },
        { type: EXTENSION.ec_point_formats, body: vector8(Uint8Array.of(0, 1, 2)) },
      ],
    },
  }).start()
  assertEstablished(wire)
})

test('a list of compression methods may hold more than null', () => {
  assertEstablished(new Wire12({ hello: { compression: Uint8Array.of(1, 0) } }).start())
})

// ── after the handshake ─────────────────────────────────────────────────────────────────────────────────────────────

test('data of any size goes both ways', () => {
  for (const suites of [[SUITE12.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256], [0xcca8], [0xc030]]) {
    const wire = new Wire12({ context, hello: { suites } }).start()
    const sent = new Uint8Array(50_000).map((_, index) => index)
    wire.server.send([sent.subarray(0, 10), sent.subarray(10)])
    for (let at = 0; at < sent.length; at += 16_384) wire.client.send(sent.subarray(at, at + 16_384))
    wire.run()
    assert.equal(toHex(wire.client.received), toHex(sent))
    assert.equal(toHex(wire.received), toHex(sent))
  }
})

test('what is written in the moment the handshake is done comes behind Finished', () => {
  const sending = new Wire12()
  sending.onEstablished = () => sending.server.send([ascii('first')])
  assert.equal(Buffer.from(sending.start().client.received).toString(), 'first')
  const closing = new Wire12()
  closing.onEstablished = () => closing.server.close()
  closing.start()
  assert.equal(closing.client.state, 'connected')
  assert.deepEqual(closing.client.alerts, [{ level: 1, name: 'close_notify', encrypted: true }])
})

test('close_notify ends each side in turn', () => {
  const wire = new Wire12().start()
  wire.client.alert(0, 1)
  wire.run()
  assert.deepEqual([wire.endedCount, wire.closedCount], [1, 0])
  wire.server.send([ascii('bye')])
  wire.server.close()
  wire.run()
  assert.equal(Buffer.from(wire.client.received).toString(), 'bye')
  assert.deepEqual(wire.client.alerts, [{ level: 1, name: 'close_notify', encrypted: true }])
  assert.deepEqual([wire.closedCount, wire.error], [1, undefined])
})

test('row 39: warnings are passed over, four in a row and again after data', () => {
  const wire = new Wire12().start()
  for (let round = 0; round < 3; round++) {
    for (const description of [90, 100, 41, 255]) wire.client.alert(description, 1)
    wire.client.send(ascii('x'))
  }
  wire.run()
  assert.equal(wire.error, undefined)
  assert.equal(wire.received.length, 3)
})

test('a warning during the handshake is passed over', () => {
  const wire = new Wire12({ autoFinish: false }).start()
  wire.client.alert(41, 1)
  wire.client.exchangeKeys().alert(41, 1).changeCipherSpec().alert(41, 1).finish()
  assertEstablished(wire.run())
})

test('sixteen empty data records in a row are taken', () => {
  const wire = new Wire12().start()
  for (let count = 0; count < 16; count++) wire.client.send(new Uint8Array(0))
  assertEstablished(wire)
})

test('signature_algorithms_cert and unknown extensions change nothing', () => {
  const wire = new Wire12({
    hello: {
      extra: [
        { type: EXTENSION.signature_algorithms_cert, body: vector16(numbers16([SCHEME.rsa_pkcs1_sha256])) },
        { type: 0x4469, body: ascii('unknown to everyone') },
        { type: EXTENSION.padding, body: new Uint8Array(300) },
        { type: 0x0016, body: new Uint8Array(0) },
      ],
    },
  }).start()
  assertEstablished(wire)
  assert.deepEqual([...wire.client.extensions.keys()], [EXTENSION.server_name])
})

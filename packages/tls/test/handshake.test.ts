// Handshakes that must succeed. RFC 8446 §2, §4.1.4, §5.1.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CipherSuiteName, createLocalSigner, type GroupName } from '@latchkey/tls'
import { ascii, toHex } from './support/bytes.ts'
import { encodeHello } from './support/client-hello.ts'
import { serverSignedContent } from './support/client-crypto.ts'
import { hashOf } from './support/client-keys.ts'
import { GROUP, MESSAGE, RECORD, SCHEME, SUITE } from './support/code-points.ts'
import { KEY_KINDS, testCertificate } from './support/certificate.ts'
import { testContext, Wire } from './support/harness.ts'
import { assertEstablished } from './support/outcome.ts'

const GROUPS: readonly [GroupName, number][] = [
  ['x25519', GROUP.x25519],
  ['secp256r1', GROUP.secp256r1],
]

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

test('the sign request carries the bytes that TLS says are signed, and nothing more is asked', () => {
  for (const suite of Object.values(SUITE)) {
    const wire = new Wire({ hello: { suites: [suite] }, signing: 'hold' }).start()
    const [call] = wire.signCalls
    assert.ok(call !== undefined)
    const { request } = call
    assert.equal(toHex(request.keyId), toHex(testCertificate('p256').keyId))
    assert.equal(request.scheme, SCHEME.ecdsa_secp256r1_sha256)
    assert.equal(request.purpose, 'tls13-server-cv')
    assert.equal(request.serverName, 'example.com')
    assert.equal(request.clientAddress, '192.0.2.1')
    wire.sign(call)
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
  wire.sign(call)
  wire.run()
  assertEstablished(wire)
})

test('the local signer answers what the engine asks, for every kind of key', async () => {
  const signer = createLocalSigner(KEY_KINDS.map(testCertificate))
  for (const kind of KEY_KINDS) {
    const wire = new Wire({ context: testContext({ kinds: [kind] }), signing: 'hold' }).start()
    const [call] = wire.signCalls
    assert.ok(call !== undefined)
    wire.server.privateKeyAnswered(call.id, await signer.sign(call.request, new AbortController().signal))
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

test('row 24: an empty key share list asks for a retry with the first common group of the server', () => {
  const wire = new Wire({ shares: [] }).start()
  assertEstablished(wire)
  assert.equal(wire.client.retries, 1)
  assert.equal(wire.client.group, GROUP.x25519)
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

test('a handshake message may come in as many records as it has bytes (RFC 8446 §5.1)', () => {
  const wire = new Wire()
  const hello = wire.client.noteHello()
  for (let at = 0; at < hello.length; at++) wire.client.plain(RECORD.handshake, hello.subarray(at, at + 1))
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
  for (const wire of wires) {
    for (const call of wire.signCalls) if (!wire.answered.has(call.id)) wire.sign(call)
  }
  for (const wire of wires) assertEstablished(wire.run())
})

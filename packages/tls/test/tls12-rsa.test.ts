// RSA key exchange: off by default, and blind to what the client encrypted. RFC 5246 §7.4.7.1.
import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import {
  createLocalSigner,
  createTicketKeyring,
  createTlsServer,
  type DecryptRequest,
  type Signer,
  TicketSealer,
} from '@latchkey/tls'
import { ascii, concat, flipped, hex, patched, toHex, u16, u8, vector16 } from './support/bytes.ts'
import { testCertificate } from './support/certificate.ts'
import { encryptTo } from './support/client-crypto.ts'
import { message } from './support/client-hello.ts'
import { EXTENSION, GROUP, MESSAGE, RECORD, RSA_SUITE12, SUITE12 } from './support/code-points.ts'
import { premasterFor, testContext, Wire12, type Wire12Options } from './support/harness.ts'
import { assertEstablished, assertOver, assertRefused } from './support/outcome.ts'
import { localSigner, tlsOptions } from './support/socket-server.ts'
import type { TestClient12 } from './support/test-client12.ts'

const RSA_SUITES = ['TLS_RSA_WITH_AES_128_GCM_SHA256', 'TLS_RSA_WITH_AES_256_GCM_SHA384'] as const
const ECDHE = 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'
const { modulusBytes, modulus } = modulusOf(testCertificate('rsa2048').der)
const context = testContext({ kinds: ['p256', 'rsa2048'], cipherSuites12: [ECDHE, ...RSA_SUITES] })

function modulusOf(leaf: Uint8Array): { modulusBytes: number; modulus: Uint8Array } {
  const { n = '' } = new X509Certificate(leaf).publicKey.export({ format: 'jwk' })
  const modulus = new Uint8Array(Buffer.from(n, 'base64url'))
  return { modulusBytes: modulus.length, modulus }
}

function rsaWire(options: Wire12Options = {}): Wire12 {
  return new Wire12({
    context,
    ...options,
    hello: { suites: [RSA_SUITE12[RSA_SUITES[0]]], ...options.hello },
  })
}

// ── what is agreed ──────────────────────────────────────────────────────────────────────────────────────────────────

for (const name of RSA_SUITES) {
  for (const hasExtendedMasterSecret of [true, false]) {
    for (const signing of ['at once', 'after'] as const) {
      test(`${name}, ${hasExtendedMasterSecret ? 'extended' : 'old'} master secret, decrypted ${signing}`, () => {
        const wire = rsaWire({
          hasExtendedMasterSecret,
          signing,
          hello: { suites: [RSA_SUITE12[name]] },
        }).start()
        assertEstablished(wire)
        assert.deepEqual(
          wire.client.messages.map(({ type }) => type),
          [MESSAGE.server_hello, MESSAGE.certificate, MESSAGE.server_hello_done, MESSAGE.finished],
        )
        assert.deepEqual([wire.signCalls.length, wire.decryptCalls.length], [0, 1])
        const { session } = wire
        assert.deepEqual(
          [session?.cipherSuite, session?.group, session?.signatureScheme, session?.isResumed],
          [name, undefined, undefined, false],
        )
        assert.equal(wire.client.extensions.has(EXTENSION.ec_point_formats), false)
      })
    }
  }
}

test('a client that has nothing of ECDHE is served, and no other gets RSA key exchange', () => {
  const suites = [...Object.values(RSA_SUITE12), SUITE12[ECDHE]]
  assert.equal(rsaWire({ hello: { suites } }).start().session?.cipherSuite, ECDHE)
  for (const lacking of [
    { groups: undefined },
    { groups: [GROUP.x448] },
    { schemes: [0x0201] },
    { schemes: undefined },
  ]) {
    const wire = rsaWire({ hello: { suites, ...lacking } }).start()
    assertEstablished(wire)
    assert.equal(wire.session?.cipherSuite, RSA_SUITES[0])
  }
})

test('RSA key exchange is off unless its suites are named', () => {
  const own = testContext({ kinds: ['rsa2048'] })
  assertRefused(rsaWire({ context: own }).start(), 'handshake_failure')
  assertRefused(
    rsaWire({ context: testContext({ kinds: ['p256'], cipherSuites12: RSA_SUITES }) }).start(),
    'handshake_failure',
  )
})

test('a server with RSA suites must have a signer that decrypts', () => {
  const sign: Signer['sign'] = (request, signal) => localSigner.sign(request, signal)
  assert.throws(
    () => createTlsServer(tlsOptions({ cipherSuites12: [ECDHE, RSA_SUITES[1]], signer: { sign } })),
    {
      name: 'TypeError',
      message: /TLS_RSA_WITH_AES_256_GCM_SHA384 needs a signer with decryptPremaster/,
    },
  )
  createTlsServer(tlsOptions({ cipherSuites12: [ECDHE], signer: { sign } }))
})

test('the session is resumed as any other, without the private key', () => {
  const tickets = new TicketSealer({
    keyring: createTicketKeyring({ clock: Date.now }),
    random: (count) => new Uint8Array(randomBytes(count)),
    clock: Date.now,
  })
  const own = testContext({ kinds: ['rsa2048'], cipherSuites12: RSA_SUITES, tickets })
  const first = rsaWire({ hasSessionTicket: true, context: own }).start()
  assertEstablished(first)
  const session = first.client.session ?? assert.fail()
  const wire = rsaWire({ session, signing: 'hold', context: own }).start()
  assertEstablished(wire)
  assert.ok(wire.client.isResumed)
  assert.equal(wire.decryptCalls.length, 0)
})

test('the request says for whom, and carries a ciphertext as long as the modulus', () => {
  const wire = rsaWire({ signing: 'hold' }).start()
  const { keyId, ciphertext, ...rest } = (wire.decryptCalls[0] ?? assert.fail()).request
  assert.equal(toHex(keyId), toHex(testCertificate('rsa2048').keyId))
  assert.equal(ciphertext.length, modulusBytes)
  assert.deepEqual(rest, {
    clientVersion: 0x0303,
    serverName: 'example.com',
    clientAddress: '192.0.2.1',
    deadlineMs: 0,
  })
})

// ── one path ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** 00 02 PS 00 content. */
function padded(content: Uint8Array): Uint8Array {
  const filler = new Uint8Array(modulusBytes - 3 - content.length).fill(0xa5)
  return concat(u8(0), u8(2), filler, u8(0), content)
}

type Encrypt = (client: TestClient12) => Uint8Array

/** A whole block, encrypted as it is. */
function block(change: (bytes: Uint8Array, premaster: Uint8Array) => Uint8Array): Encrypt {
  return ({ chain: [leaf = hex('')], premaster }) =>
    encryptTo(leaf, change(padded(premaster), premaster), 'none')
}

/** A good block but for one byte. */
function patchedAt(at: number, value: number): Encrypt {
  return block((bytes) => patched(bytes, at, value))
}

/** A premaster secret that begins with `version`, well padded; the client uses it as it is. */
function version(version: number): Encrypt {
  return (client) => {
    client.premaster.set(u16(version))
    return good(client)
  }
}

const good: Encrypt = block((bytes) => bytes)

const ORACLES: Readonly<Record<string, Encrypt>> = {
  'first byte 1': patchedAt(0, 1),
  'block type 1': patchedAt(1, 1),
  'block type 0': patchedAt(1, 0),
  'no padding at all': patchedAt(2, 0),
  'padding of seven bytes': patchedAt(9, 0),
  'a zero early in the padding': patchedAt(100, 0),
  'no zero after the padding': patchedAt(modulusBytes - 49, 1),
  'no zero anywhere': block((bytes) => bytes.map((byte, index) => (index > 1 && byte === 0 ? 1 : byte))),
  'a premaster secret of 47 bytes': block((_, premaster) => padded(premaster.subarray(1))),
  'a premaster secret of 49 bytes': block((_, premaster) => padded(concat(premaster, u8(1)))),
  'an empty premaster secret': block(() => padded(hex(''))),
  'version 3.2': version(0x0302),
  'version 3.4': version(0x0304),
  'version 2.3': version(0x0203),
  'a ciphertext one byte short': (client) => good(client).subarray(1),
  'a ciphertext one byte long': (client) => concat(u8(0), good(client)),
  'no ciphertext': () => hex(''),
  'a ciphertext of 1000 bytes': () => new Uint8Array(1000).fill(1),
  'the ciphertext 0': () => new Uint8Array(modulusBytes),
  'the ciphertext 1': () =>
    Uint8Array.from({ length: modulusBytes }, (_, index) => Number(index === modulusBytes - 1)),
  'a ciphertext equal to the modulus': () => modulus,
  'a ciphertext above the modulus': () => new Uint8Array(modulusBytes).fill(0xff),
}

/** Everything that can be seen from outside. */
interface View {
  readonly alerts: unknown
  readonly recordTypes: readonly number[]
  readonly writes: readonly number[]
  readonly asked: readonly number[]
  readonly error: string | undefined
}

function view(wire: Wire12): View {
  return {
    alerts: wire.client.alerts,
    recordTypes: wire.client.recordTypes,
    writes: wire.writes.map(({ length }) => length),
    asked: wire.decryptCalls.map(({ request }) => request.ciphertext.length),
    error: wire.error?.message,
  }
}

/** The client's whole flight behind ServerHelloDone, its premaster secret encrypted by `encrypt`. */
function attack(
  encrypt: Encrypt,
  decryptPremaster: (request: DecryptRequest) => Uint8Array,
  inOneFlight: boolean,
): Wire12 {
  const wire = rsaWire({ autoFinish: false })
  wire.decryptPremaster = decryptPremaster
  wire.start()
  const { client } = wire
  const bytes = message(MESSAGE.client_key_exchange, vector16(encrypt(client)))
  client.plain(RECORD.handshake, bytes).exchanged(bytes)
  if (!inOneFlight) wire.run()
  client.changeCipherSpec().finish()
  return wire.run()
}

const local = createLocalSigner([testCertificate('rsa2048')])
const SIGNERS: Readonly<Record<string, (request: DecryptRequest) => Uint8Array>> = {
  'the local signer': (request) => local.decryptPremaster?.(request, AbortSignal.timeout(1000)) as Uint8Array,
  'one with implicit rejection of another make, of any length': premasterFor,
}

for (const [signer, decrypt] of Object.entries(SIGNERS)) {
  for (const inOneFlight of [true, false]) {
    test(`row 38: Bleichenbacher: all that is wrong looks the same, with ${signer}, ${inOneFlight ? 'in one flight' : 'step by step'}`, () => {
      assertEstablished(attack(good, decrypt, inOneFlight))
      // A good ciphertext, and a Finished of somebody who does not know what is in it.
      const stranger = attack(
        (client) => {
          const ciphertext = good(client)
          client.premaster = flipped(client.premaster, 40)
          return ciphertext
        },
        decrypt,
        inOneFlight,
      )
      assertRefused(stranger, 'bad_record_mac')
      for (const [name, encrypt] of Object.entries(ORACLES)) {
        const wire = attack(encrypt, decrypt, inOneFlight)
        assert.deepEqual(view(wire), view(stranger), name)
        assertRefused(wire, 'bad_record_mac')
      }
    })
  }
}

test('row 38: a ciphertext that the key cannot have made is replaced: the signer sees one that it can decrypt', () => {
  for (const name of [
    'no ciphertext',
    'a ciphertext above the modulus',
    'a ciphertext equal to the modulus',
  ] as const) {
    const wire = attack(ORACLES[name] as Encrypt, premasterFor, true)
    const { request } = wire.decryptCalls[0] ?? assert.fail()
    assert.equal(request.ciphertext.length, modulusBytes)
    assert.ok(Buffer.compare(request.ciphertext, modulus) < 0)
    assert.equal(premasterFor(request).length, 48)
  }
})

test('row 38: whatever a signer returns in place of 48 bytes leads to the same end', () => {
  const rows = [
    new Uint8Array(0),
    new Uint8Array(47),
    new Uint8Array(49).fill(3),
    new Uint8Array(48),
    new Uint8Array(4096),
  ]
  for (const answer of rows)
    assertRefused(
      attack(good, () => answer.slice(), true),
      'bad_record_mac',
    )
})

test('a wrong Finished under the right keys is a wrong Finished', () => {
  const wire = rsaWire({ autoFinish: false }).start()
  wire.client.exchangeKeys().changeCipherSpec()
  wire.client.finish(flipped(wire.client.finishedMessage(), 15))
  assertRefused(wire.run(), 'decrypt_error')
})

// ── while the key is waited for ─────────────────────────────────────────────────────────────────────────────────────

test('what the client sends meanwhile waits, in pieces of any size', () => {
  for (const pieceBytes of [1, 7, 64, 1000]) {
    const wire = rsaWire({ signing: 'hold', pieceBytes })
    wire.start()
    assert.equal(wire.client.state, 'server finished')
    assert.equal(wire.establishedCount, 0)
    wire.client.send(ascii('early bird'))
    wire.run()
    wire.decrypt(wire.decryptCalls[0] ?? assert.fail())
    wire.run()
    assert.equal(wire.client.state, 'connected')
    assert.equal(Buffer.from(wire.received).toString(), 'early bird')
  }
})

test('what waits is limited', () => {
  const held = (bytes: number): Wire12 => {
    const wire = rsaWire({ signing: 'hold', autoFinish: false }).start()
    wire.client.exchangeKeys()
    wire.run()
    for (let left = bytes; left > 0; left -= 5000) wire.deliver(new Uint8Array(Math.min(left, 5000)))
    return wire.run()
  }
  assert.equal(held(16_384).error, undefined)
  const wire = held(16_385)
  assertRefused(wire, 'unexpected_message')
  assert.equal(wire.cancelled.length, 1)
})

test('the end of the transport, or of our patience, cancels the decryption', () => {
  const gone = rsaWire({ signing: 'hold' }).start()
  gone.server.transportEnded()
  assert.equal(gone.error?.code, 'ERR_TLS_TRANSPORT')
  const late = rsaWire({ signing: 'hold' }).start()
  late.server.fail('ERR_TLS_HANDSHAKE_TIMEOUT')
  for (const wire of [gone, late]) {
    assert.deepEqual(wire.cancelled, [wire.decryptCalls[0]?.id])
    assertOver(wire)
    wire.decrypt(wire.decryptCalls[0] ?? assert.fail())
    assert.equal(wire.closedCount, 1)
  }
})

test('a decryption that fails is an internal_error', () => {
  const wire = rsaWire({ signing: 'hold' }).start()
  const { id } = wire.decryptCalls[0] ?? assert.fail()
  wire.answered.add(id)
  wire.server.privateKeyFailed(id, new Error('why'))
  assertRefused(wire.run(), 'internal_error')
  assert.equal(wire.error?.code, 'ERR_TLS_SIGNER')
})

// ── malformed ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('a ClientKeyExchange whose length lies is malformed, before anything is decrypted', () => {
  const rows = [
    ['decode_error', hex('')],
    ['decode_error', hex('00')],
    ['decode_error', concat(u16(255), new Uint8Array(256))],
    ['decode_error', concat(u16(257), new Uint8Array(256))],
    ['illegal_parameter', new Uint8Array(1025)],
  ] as const
  for (const [alert, body] of rows) {
    const wire = rsaWire({ autoFinish: false }).start()
    wire.client.plain(RECORD.handshake, message(MESSAGE.client_key_exchange, body))
    assertRefused(wire.run(), alert)
    assert.equal(wire.decryptCalls.length, 0)
  }
})

// The server's side of the example handshakes of RFC 8448, replayed with the RFC's randomness and keys.
//
// What cannot be byte for byte: the RFC's server answers supported_groups and record_size_limit in
// EncryptedExtensions and sends a cookie in HelloRetryRequest, which we never do. So ServerHello and its records are
// compared whole, the flight is opened with the RFC's keys, and the rest of it is compared message by message.
import assert from 'node:assert/strict'
import { diffieHellman, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import {
  createCertificateStore,
  createServerContext,
  loadCredential,
  type ServerContext,
  type TicketSealer,
} from '@latchkey/tls'
import { ascii, concat, hex, toHex } from './support/bytes.ts'
import {
  checkCertificateVerify,
  serverSignedContent,
  signAs,
  x25519PublicKey,
} from './support/client-crypto.ts'
import { type Extension, message, plainRecord } from './support/client-hello.ts'
import {
  deriveSecret,
  finishedData,
  hashOf,
  masterSecret,
  RecordKeys,
  suiteOf,
} from './support/client-keys.ts'
import { EXTENSION, MESSAGE, RECORD, SCHEME, SUITE } from './support/code-points.ts'
import { Wire } from './support/harness.ts'
import { readCertificate, readCertificateVerify, readEncryptedExtensions } from './support/server-messages.ts'
import {
  assertSame,
  keysOf,
  NONE,
  of,
  p256,
  readTrace,
  type Trace,
  traceServerKey,
  x25519PrivateKey,
} from './support/trace.ts'

/** A context that draws what the RFC's server drew. */
function replayContext({ messages, server, group }: Trace): ServerContext {
  const [leaf] = readCertificate(of(messages, 'certificate').subarray(4)).chain
  const credentials = [loadCredential({ chain: new X509Certificate(leaf ?? NONE).toString() })]
  // legacy_version and the four-byte header are before the random.
  const random = of(messages, 'serverHello').subarray(6, 38)
  return createServerContext({
    certificates: createCertificateStore({ hosts: [{ serverNames: ['server'], credentials }] }),
    groups: [group],
    random: (count) => {
      assert.equal(count, 32)
      return random.slice()
    },
    exchangeKeys: (wanted, peer) => {
      assert.equal(wanted.name, group)
      return {
        share: server.publicKey,
        sharedSecret: () =>
          group === 'secp256r1'
            ? p256(server.privateKey).computeSecret(peer)
            : diffieHellman({
                privateKey: x25519PrivateKey(server.privateKey),
                publicKey: x25519PublicKey(peer),
              }),
      }
    },
  })
}

/** Signs the server's content with the RFC's key. */
function answer(wire: Wire): void {
  const [call] = wire.signCalls
  assert.ok(call !== undefined)
  wire.answered.add(call.id)
  assert.equal(call.request.scheme, SCHEME.rsa_pss_rsae_sha256)
  wire.server.privateKeyAnswered(
    call.id,
    signAs(SCHEME.rsa_pss_rsae_sha256, traceServerKey(), call.request.content),
  )
}

/** The handshake messages in `bytes`. */
function messagesOf(bytes: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const end =
      at +
      4 +
      (((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number))
    messages.push(bytes.subarray(at, end))
    at = end
  }
  return messages
}

function recordsOf(bytes: Uint8Array): Uint8Array[] {
  const records: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + (((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number))
    records.push(bytes.subarray(at, end))
    at = end
  }
  return records
}

for (const name of ['simple', 'compatibility'] as const) {
  const trace = readTrace(name)
  test(`${trace.source.split('.')[0]}: the server's side, replayed`, () => {
    const { records, messages, secrets } = trace
    const wire = new Wire({ context: replayContext(trace), signing: 'hold' })
    wire.deliver(of(records, 'clientHello'))
    answer(wire)
    const [serverHello, ...rest] = recordsOf(wire.output)
    assertSame(serverHello ?? NONE, of(records, 'serverHello'), 'ServerHello record')
    if (name === 'compatibility') assertSame(rest.shift() ?? NONE, hex('140303000101'), 'change_cipher_spec')

    // The hellos are the RFC's, so the handshake keys are too.
    const keys = keysOf(trace, 'serverHandshakeTraffic')
    const flight = messagesOf(
      concat(
        ...rest.map((record) => {
          const inner = keys.open(record)
          assert.equal(inner.at(-1), RECORD.handshake)
          return inner.subarray(0, -1)
        }),
      ),
    )
    const [encryptedExtensions, certificate, certificateVerify, finished] = flight as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
    assert.equal(flight.length, 4)
    assert.deepEqual(
      [...readEncryptedExtensions(encryptedExtensions.subarray(4)).keys()],
      [EXTENSION.server_name, EXTENSION.record_size_limit],
    )
    assertSame(certificate, of(messages, 'certificate'), 'Certificate')
    const hellos = [of(messages, 'clientHello'), of(messages, 'serverHello')]
    const signedHash = hashOf('sha256', ...hellos, encryptedExtensions, certificate)
    assertSame(wire.signCalls[0]?.request.content ?? NONE, serverSignedContent(signedHash), 'signed content')
    const { scheme, signature } = readCertificateVerify(certificateVerify.subarray(4))
    const [leaf] = readCertificate(certificate.subarray(4)).chain
    checkCertificateVerify(leaf ?? NONE, scheme, signature, signedHash)
    const beforeFinished = hashOf('sha256', ...hellos, ...flight.slice(0, 3))
    const verifyData = finishedData('sha256', of(secrets, 'serverHandshakeTraffic'), beforeFinished)
    assertSame(finished, message(MESSAGE.finished, verifyData), 'Finished')

    // On with a client that has the RFC's handshake keys.
    const serverFinished = hashOf('sha256', ...hellos, ...flight)
    const clientFinished = finishedData('sha256', of(secrets, 'clientHandshakeTraffic'), serverFinished)
    if (name === 'compatibility') wire.deliver(hex('140303000101'))
    const client = keysOf(trace, 'clientHandshakeTraffic')
    wire.deliver(client.seal(RECORD.handshake, message(MESSAGE.finished, clientFinished)))
    assert.equal(wire.error, undefined)
    assert.equal(wire.establishedCount, 1)
    // Application secrets hang on EncryptedExtensions and on the signature: ours, from the RFC's handshake secret.
    const master = masterSecret('sha256', of(secrets, 'handshake'))
    const application = deriveSecret('sha256', master, 'c ap traffic', serverFinished)
    const data = trace.data ?? hex('0001')
    wire.deliver(new RecordKeys(suiteOf(SUITE.TLS_AES_128_GCM_SHA256), application).seal(RECORD.data, data))
    assertSame(wire.received, data, 'client data')
  })
}

/** The extensions of a hello, and where their block begins (with its length). */
function cut(hello: Uint8Array, at: number): { head: Uint8Array; extensions: Extension[] } {
  const extensions: Extension[] = []
  for (let next = at + 2; next < hello.length; ) {
    const type = ((hello[next] as number) << 8) | (hello[next + 1] as number)
    const end = next + 4 + (((hello[next + 2] as number) << 8) | (hello[next + 3] as number))
    extensions.push({ type, body: hello.subarray(next + 4, end) })
    next = end
  }
  return { head: hello.subarray(4, at), extensions }
}

function withoutCookie(hello: Uint8Array, at: number): Uint8Array {
  const { head, extensions } = cut(hello, at)
  const kept = extensions.filter(({ type }) => type !== EXTENSION.cookie)
  const block = concat(
    ...kept.map(({ type, body }) =>
      concat(Uint8Array.of(type >>> 8, type, body.length >>> 8, body.length), body),
    ),
  )
  return message(hello[0] as number, concat(head, Uint8Array.of(block.length >>> 8, block.length), block))
}

/** Where the extension blocks of §5 begin: after suite and compression of the server, after compression of the client. */
const SERVER_EXTENSIONS_AT = 4 + 2 + 32 + 1 + 2 + 1
const CLIENT_EXTENSIONS_AT = 4 + 2 + 32 + 1 + 2 + 6 + 2

test("RFC 8448 §5: the server's side, replayed without the cookie", () => {
  const trace = readTrace('retry')
  const { records, messages } = trace
  const wire = new Wire({ context: replayContext(trace), signing: 'hold' })
  wire.deliver(of(records, 'clientHello'))
  const retry = withoutCookie(of(messages, 'helloRetryRequest'), SERVER_EXTENSIONS_AT)
  assertSame(wire.output, plainRecord(RECORD.handshake, retry), 'HelloRetryRequest')
  const { length } = wire.output

  const second = withoutCookie(of(messages, 'secondClientHello'), CLIENT_EXTENSIONS_AT)
  wire.deliver(plainRecord(RECORD.handshake, second))
  answer(wire)
  const [serverHello, ...rest] = recordsOf(wire.output.subarray(length))
  assertSame(serverHello ?? NONE, of(records, 'serverHello'), 'ServerHello record')
  // Without the cookie the transcript is ours, and so are the keys; the shared secret is the RFC's.
  const hellos = [
    message(MESSAGE.message_hash, hashOf('sha256', of(messages, 'clientHello'))),
    retry,
    second,
    of(messages, 'serverHello'),
  ]
  const secret = deriveSecret(
    'sha256',
    of(trace.secrets, 'handshake'),
    's hs traffic',
    hashOf('sha256', ...hellos),
  )
  const keys = new RecordKeys(suiteOf(SUITE.TLS_AES_128_GCM_SHA256), secret)
  const flight = messagesOf(concat(...rest.map((record) => keys.open(record).subarray(0, -1))))
  assertSame(flight[1] ?? NONE, of(messages, 'certificate'), 'Certificate')
  const before = hashOf('sha256', ...hellos, ...flight.slice(0, 3))
  assertSame(flight[3] ?? NONE, message(MESSAGE.finished, finishedData('sha256', secret, before)), 'Finished')
})

test('RFC 8448 §4: a client that resumes with early data gets a full handshake, and its early data is skipped', () => {
  const trace = readTrace('resumed')
  const { certificate } = readTrace('simple').messages
  const context = replayContext({
    ...trace,
    messages: { ...trace.messages, certificate: certificate ?? NONE },
  })
  const wire = new Wire({ context, signing: 'hold' })
  wire.deliver(concat(of(trace.records, 'clientHello'), of(trace.records, 'earlyData')))
  assert.equal(wire.error, undefined)
  answer(wire)
  assert.equal(wire.error, undefined)
  assert.equal(wire.received.length, 0)
  // No pre_shared_key in our ServerHello: the first after header, version, random, session id, suite, compression.
  const [serverHello] = recordsOf(wire.output)
  const { extensions } = cut((serverHello ?? NONE).subarray(5), SERVER_EXTENSIONS_AT)
  assert.deepEqual(
    extensions.map(({ type }) => type).toSorted((a, b) => a - b),
    [EXTENSION.supported_versions, EXTENSION.key_share],
  )
})

test('RFC 8448 §4: the PSK is taken, ServerHello and the handshake secrets are those printed; early data is refused', () => {
  const trace = readTrace('resumed')
  const { records, messages, secrets } = trace
  const certificate = of(readTrace('simple').messages, 'certificate')
  const context = replayContext({ ...trace, messages: { ...messages, certificate } })
  const [leaf] = readCertificate(certificate.subarray(4)).chain
  const { keyId } = loadCredential({ chain: new X509Certificate(leaf ?? NONE).toString() })
  const half = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, 16)
  /** Knows the RFC's ticket, which no sealer of ours has sealed. */
  const tickets: Pick<TicketSealer, 'open' | 'seal'> = {
    open: (ticket) => {
      assert.ok(toHex(of(messages, 'clientHello')).includes(toHex(ticket)))
      return {
        protocolVersion: 0x0304,
        cipherSuite: SUITE.TLS_AES_128_GCM_SHA256,
        flags: 0,
        issuedAtMs: 0,
        fullHandshakeAtMs: 0,
        ageAdd: 0,
        tenantId: context.ticketTenant,
        serverNameHash: half(hashOf('sha256', ascii('server'))),
        credentialKeyId: half(keyId),
        secret: of(secrets, 'psk').slice(),
        clientChainHash: undefined,
      }
    },
    seal: () => undefined,
  }
  const wire = new Wire({ context: { ...context, tickets: tickets as TicketSealer }, signing: 'hold' })
  wire.deliver(concat(of(records, 'clientHello'), of(records, 'earlyData')))
  assert.equal(wire.error, undefined)
  assert.equal(wire.signCalls.length, 0, 'the binder is the printed one, and no signature is needed')
  const [serverHello, ...rest] = recordsOf(wire.output)
  assertSame(serverHello ?? NONE, of(records, 'serverHello'), 'ServerHello record')

  // The hellos are the RFC's, so the handshake keys are too. EncryptedExtensions are not: the RFC's take early data.
  const keys = keysOf(trace, 'serverHandshakeTraffic')
  const flight = messagesOf(concat(...rest.map((record) => keys.open(record).subarray(0, -1))))
  assert.equal(flight.length, 2)
  const [encryptedExtensions, finished] = flight as [Uint8Array, Uint8Array]
  assert.equal(readEncryptedExtensions(encryptedExtensions.subarray(4)).has(EXTENSION.early_data), false)
  const upTo = [of(messages, 'clientHello'), of(messages, 'serverHello'), encryptedExtensions]
  const verifyData = finishedData('sha256', of(secrets, 'serverHandshakeTraffic'), hashOf('sha256', ...upTo))
  assertSame(finished, message(MESSAGE.finished, verifyData), 'server Finished')

  const hash = hashOf('sha256', ...upTo, finished)
  const clientFinished = finishedData('sha256', of(secrets, 'clientHandshakeTraffic'), hash)
  const client = keysOf(trace, 'clientHandshakeTraffic')
  wire.deliver(client.seal(RECORD.handshake, message(MESSAGE.finished, clientFinished)))
  assert.equal(wire.error, undefined)
  assert.equal(wire.session?.isResumed, true)
  assert.equal(wire.received.length, 0)
})

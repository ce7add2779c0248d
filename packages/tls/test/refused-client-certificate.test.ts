// What a client that is asked for a certificate must not answer, in both versions, with the alert it gets for it.
// RFC 8446 §4.4.2, §4.4.3; RFC 5246 §7.4.6, §7.4.8.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type ClientCertificatePolicy,
  createClientCaPolicy,
  type ServerContext,
  TlsError,
} from '@latchkey/tls'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { concat, flipped, hex, patched, u8, vector16, vector24 } from './support/bytes.ts'
import {
  type ClientCertificate,
  certificateMessage,
  certificateMessage12,
  certificateVerifyMessage,
  clientCertificate,
  entryExtension,
} from './support/client-certificate.ts'
import { clientSignedContent, serverSignedContent, signAs, signAs12 } from './support/client-crypto.ts'
import { message } from './support/client-hello.ts'
import { type AlertText, EXTENSION, MESSAGE, RECORD, SCHEME } from './support/code-points.ts'
import { testContext, Wire, Wire12 } from './support/harness.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import type { TestClient } from './support/test-client.ts'
import type { TestClient12 } from './support/test-client12.ts'

const ca = await createThrowawayCa()
const good = clientCertificate(await ca.issue({ commonName: 'a client' }))
const another = clientCertificate(await ca.issue({ commonName: 'another client' }))
const rsa = clientCertificate(await ca.issue({ keyAlgorithm: 'rsa-2048' }))
const p384 = clientCertificate(await ca.issue({ keyAlgorithm: 'ecdsa-p384' }))
const shortRsa = clientCertificate(await ca.issue({ keyAlgorithm: 'rsa-1024' }))
const stranger = clientCertificate(await (await createThrowawayCa()).issue({}))
const expired = clientCertificate(await ca.issue({ notAfter: new Date(Date.now() - 60_000) }))
const keyAgreementOnly = clientCertificate(
  // KeyUsage ::= BIT STRING, bit 4 keyAgreement.
  await ca.issue({ extensions: [{ oid: '2.5.29.15', critical: true, value: hex('03020308') }] }),
)
const oddExtensions = clientCertificate(
  await ca.issue({ extensions: [{ oid: '2.5.29.15', critical: true, value: hex('0500') }] }),
)

const usual = createClientCaPolicy({ ca: ca.certificatePem })
/** Takes every certificate, as a shim or a policy may: what is refused then, the engine refuses. */
const credulous: ClientCertificatePolicy = { ...usual, verify: () => undefined }

function contextOf(policy: ClientCertificatePolicy): ServerContext {
  return testContext({ clientCertificates: () => policy })
}

interface Row {
  readonly name: string
  /** What the client says in place of Certificate, CertificateVerify and Finished. */
  readonly say: (client: TestClient) => void
  readonly alert: AlertText
  readonly policy?: ClientCertificatePolicy
}

function certify({ chain }: ClientCertificate): Uint8Array {
  return certificateMessage(chain)
}

/** A CertificateVerify by another than the usual scheme or key, over the right content. */
function verifyAs(client: TestClient, { privateKey }: ClientCertificate, scheme: number): Uint8Array {
  const content = clientSignedContent(client.transcriptHash())
  return certificateVerifyMessage(scheme, signAs12(scheme, privateKey, content))
}

const ROWS: readonly Row[] = [
  // Certificate
  {
    name: 'no certificate',
    say: (client) => client.authenticate(undefined).finish(),
    alert: 'certificate_required',
  },
  {
    name: 'a certificate of another CA',
    say: (client) => client.authenticate(stranger),
    alert: 'unknown_ca',
  },
  {
    name: 'a certificate that has expired',
    say: (client) => client.authenticate(expired),
    alert: 'certificate_expired',
  },
  {
    name: 'a key of RSA with 1024 bits, whatever the policy',
    policy: credulous,
    say: (client) => client.say(certify(shortRsa)),
    alert: 'unsupported_certificate',
  },
  {
    name: 'a key that may not sign, whatever the policy',
    policy: credulous,
    say: (client) => client.say(certify(keyAgreementOnly)),
    alert: 'unsupported_certificate',
  },
  {
    name: 'extensions that cannot be read, whatever the policy',
    policy: credulous,
    say: (client) => client.say(certify(oddExtensions)),
    alert: 'bad_certificate',
  },
  {
    name: 'Finished in place of Certificate',
    say: (client) => client.finish(),
    alert: 'unexpected_message',
  },
  {
    name: 'CertificateVerify in place of Certificate',
    say: (client) => client.say(client.verifyMessage(good)),
    alert: 'unexpected_message',
  },
  {
    name: 'application data in place of Certificate',
    say: (client) => client.send(u8(1)),
    alert: 'unexpected_message',
  },
  {
    name: 'Certificate twice',
    say: (client) => client.say(certify(good), certify(good)),
    alert: 'unexpected_message',
  },
  {
    name: 'an empty Certificate and CertificateVerify',
    policy: { ...usual, isRequired: false },
    say: (client) => {
      client.say(certificateMessage([]))
      client.say(client.verifyMessage(good))
    },
    alert: 'unexpected_message',
  },
  {
    name: 'a certificate_request_context',
    say: (client) => client.say(certificateMessage(good.chain, { context: u8(1) })),
    alert: 'illegal_parameter',
  },
  {
    name: 'an OCSP response that nobody asked for',
    say: (client) =>
      client.say(
        certificateMessage(good.chain, {
          extensions: entryExtension(EXTENSION.status_request, hex('010000010a')),
        }),
      ),
    alert: 'unsupported_extension',
  },
  {
    name: 'an unknown extension of a certificate',
    say: (client) => client.say(certificateMessage(good.chain, { extensions: entryExtension(0x7a7a) })),
    alert: 'unsupported_extension',
  },
  {
    name: 'extensions of a certificate that end too early',
    say: (client) => client.say(certificateMessage(good.chain, { extensions: hex('0005 0004 01') })),
    alert: 'decode_error',
  },
  {
    name: 'bytes that are no certificate',
    policy: credulous,
    say: (client) => client.say(certificateMessage([hex('474152424147 45')])),
    alert: 'decode_error',
  },
  {
    name: 'bytes behind a certificate',
    policy: credulous,
    say: (client) => client.say(certificateMessage(good.chain.map((der) => concat(der, u8(0))))),
    alert: 'decode_error',
  },
  {
    name: 'PEM',
    policy: credulous,
    say: (client) => client.say(certificateMessage([new TextEncoder().encode(ca.certificatePem)])),
    alert: 'decode_error',
  },
  {
    name: 'an intermediate that is no certificate',
    policy: credulous,
    say: (client) => client.say(certificateMessage([...good.chain, hex('3003020101')])),
    alert: 'decode_error',
  },
  {
    name: 'an empty certificate',
    say: (client) => client.say(certificateMessage([...good.chain, new Uint8Array(0)])),
    alert: 'decode_error',
  },
  {
    name: 'eleven certificates',
    policy: credulous,
    say: (client) =>
      client.say(certificateMessage(Array.from({ length: 11 }, () => good.chain[0] as Uint8Array))),
    alert: 'bad_certificate',
  },
  {
    name: 'bytes behind the certificate list',
    say: (client) => {
      const { length } = certify(good)
      client.say(message(MESSAGE.certificate, concat(certify(good).subarray(4, length), u8(0))))
    },
    alert: 'decode_error',
  },
  {
    name: 'a Certificate of nothing',
    say: (client) => client.say(message(MESSAGE.certificate, u8(0))),
    alert: 'decode_error',
  },
  {
    name: 'a Certificate of more than 65,536 bytes, by its header',
    say: (client) => client.seal(RECORD.handshake, hex('0b 010001')),
    alert: 'illegal_parameter',
  },
  // CertificateVerify
  {
    name: 'Finished in place of CertificateVerify',
    say: (client) => client.say(certify(good)).finish(),
    alert: 'unexpected_message',
  },
  {
    name: 'CertificateVerify twice',
    say: (client) => {
      client.authenticate(good)
      client.say(client.verifyMessage(good))
    },
    alert: 'unexpected_message',
  },
  {
    name: 'a signature with a byte changed',
    say: (client) => {
      client.say(certify(good))
      const verify = client.verifyMessage(good)
      client.say(flipped(verify, verify.length - 1))
    },
    alert: 'decrypt_error',
  },
  {
    name: 'a signature of another key',
    say: (client) => {
      client.say(certify(good))
      client.say(client.verifyMessage(another))
    },
    alert: 'decrypt_error',
  },
  {
    name: 'a signature over another transcript',
    say: (client) => {
      client.say(certify(good))
      client.say(client.verifyMessage(good, clientSignedContent(new Uint8Array(32))))
    },
    alert: 'decrypt_error',
  },
  {
    name: 'a signature as the server makes it',
    say: (client) => {
      client.say(certify(good))
      client.say(client.verifyMessage(good, serverSignedContent(client.transcriptHash())))
    },
    alert: 'decrypt_error',
  },
  {
    name: 'an empty signature',
    say: (client) =>
      client
        .say(certify(good))
        .say(certificateVerifyMessage(SCHEME.ecdsa_secp256r1_sha256, new Uint8Array(0))),
    alert: 'decrypt_error',
  },
  {
    name: 'a scheme of another kind of key',
    say: (client) => {
      client.say(certify(good))
      const signature = signAs(
        SCHEME.rsa_pss_rsae_sha256,
        rsa.privateKey,
        clientSignedContent(client.transcriptHash()),
      )
      client.say(certificateVerifyMessage(SCHEME.rsa_pss_rsae_sha256, signature))
    },
    alert: 'illegal_parameter',
  },
  {
    name: 'a scheme of another curve',
    say: (client) => {
      client.say(certify(p384))
      client.say(verifyAs(client, p384, SCHEME.ecdsa_secp256r1_sha256))
    },
    alert: 'illegal_parameter',
  },
  {
    name: 'RSA with PKCS#1 v1.5, which is for certificates only',
    say: (client) => {
      client.say(certify(rsa))
      client.say(verifyAs(client, rsa, SCHEME.rsa_pkcs1_sha256))
    },
    alert: 'illegal_parameter',
  },
  {
    name: 'a scheme that the policy does not offer',
    policy: { ...usual, schemes: ['ecdsa_secp384r1_sha384'] },
    say: (client) => client.authenticate(good),
    alert: 'illegal_parameter',
  },
  {
    name: 'SHA-1',
    say: (client) =>
      client.say(certify(good)).say(certificateVerifyMessage(SCHEME.ecdsa_sha1, new Uint8Array(70))),
    alert: 'illegal_parameter',
  },
  {
    name: 'a scheme that nobody knows',
    say: (client) => client.say(certify(good)).say(certificateVerifyMessage(0xfefe, new Uint8Array(70))),
    alert: 'illegal_parameter',
  },
  {
    name: 'bytes behind the signature',
    say: (client) => {
      client.say(certify(good))
      const verify = client.verifyMessage(good)
      client.say(message(MESSAGE.certificate_verify, concat(verify.subarray(4), u8(0))))
    },
    alert: 'decode_error',
  },
  {
    name: 'a CertificateVerify of one byte',
    say: (client) => client.say(certify(good)).say(message(MESSAGE.certificate_verify, u8(4))),
    alert: 'decode_error',
  },
  {
    name: 'a CertificateVerify of more than 8192 bytes, by its header',
    say: (client) => client.say(certify(good)).seal(RECORD.handshake, hex('0f 002001')),
    alert: 'illegal_parameter',
  },
  // Finished
  {
    name: 'a Finished that does not count the certificate',
    say: (client) => {
      const finished = client.finishedMessage()
      client.authenticate(good).seal(RECORD.handshake, finished)
    },
    alert: 'decrypt_error',
  },
  {
    name: 'bytes behind Finished',
    say: (client) => {
      client.authenticate(good)
      client.seal(RECORD.handshake, concat(client.finishedMessage(), u8(MESSAGE.key_update)))
    },
    alert: 'unexpected_message',
  },
]

for (const { name, say, alert, policy = usual } of ROWS) {
  test(`TLS 1.3 refuses ${name}: ${alert}`, () => {
    const wire = new Wire({ context: contextOf(policy), autoFinish: false }).start()
    assert.equal(wire.client.state, 'finished')
    say(wire.client)
    assertRefused(wire.run(), alert, { signCalls: 1, encrypted: true })
    assert.equal(wire.establishedCount, 0)
  })
}

test('a Certificate that nobody asked for is refused in TLS 1.2 too', () => {
  const wire = new Wire12({ autoFinish: false }).start()
  wire.client.say(certificateMessage12([]))
  assertRefused(wire.run(), 'unexpected_message', { signCalls: 1 })
})

test('what a policy answers is the alert, and nothing else of the connection comes first', () => {
  for (const [code, alert] of [
    ['ERR_TLS_ACCESS_DENIED', 'access_denied'],
    ['ERR_TLS_CERTIFICATE_UNKNOWN', 'certificate_unknown'],
    ['ERR_TLS_HANDSHAKE_FAILURE', 'handshake_failure'],
  ] as const) {
    const asked: string[][] = []
    const policy: ClientCertificatePolicy = {
      ...usual,
      verify: (chain, nowMs) => {
        asked.push(chain.map(({ subject }) => subject))
        assert.ok(Math.abs(nowMs - Date.now()) < 60_000)
        return new TlsError(code, { detail: 'not you' })
      },
    }
    const refused = new Wire({ context: contextOf(policy), certificate: good }).start()
    assertRefused(refused, alert, { signCalls: 1, encrypted: true })
    assert.deepEqual(asked, [['CN=a client']])
    const tolerated = new Wire({
      context: contextOf({ ...policy, rejectUnauthorized: false }),
      certificate: good,
    }).start()
    assertEstablished(tolerated)
    assert.equal(tolerated.session?.authorized, false)
    assert.equal(tolerated.session.authorizationError, code)
    assert.equal(tolerated.session.peerCertificates.length, 1)
  }
})

test('a client that is tolerated has to have the key of its certificate all the same', () => {
  const policy = createClientCaPolicy({ rejectUnauthorized: false })
  const wire = new Wire({ context: contextOf(policy), autoFinish: false }).start()
  wire.client.say(certify(stranger))
  wire.client.say(wire.client.verifyMessage(good))
  assertRefused(wire.run(), 'decrypt_error', { signCalls: 1, encrypted: true })
})

test('Certificate, CertificateVerify and Finished may share a record, or come in 16 records each', () => {
  for (const size of [Number.POSITIVE_INFINITY, 64]) {
    const wire = new Wire({ context: contextOf(usual), autoFinish: false }).start()
    const { client } = wire
    const flight: Uint8Array[] = []
    const count = (bytes: Uint8Array): void => {
      flight.push(bytes)
      client.transcript.push(bytes)
    }
    count(certify(good))
    count(client.verifyMessage(good))
    flight.push(client.finishedMessage())
    const bytes = concat(...flight)
    for (let at = 0; at < bytes.length; at += size)
      client.seal(RECORD.handshake, bytes.subarray(at, Math.min(bytes.length, at + size)))
    client.finished(flight[2] as Uint8Array)
    assertEstablished(wire.run())
  }
})

test('a Certificate with any byte changed is refused, or was signed for', () => {
  const context = contextOf(usual)
  const whole = certify(good)
  for (let at = 4; at < whole.length; at += 7) {
    const wire = new Wire({ context, autoFinish: false }).start()
    wire.client.say(flipped(whole, at, 0x21))
    wire.client.say(wire.client.verifyMessage(good)).finish()
    wire.run()
    assert.ok(
      wire.error instanceof TlsError && wire.error.code !== 'ERR_TLS_INTERNAL',
      `byte ${at}: ${String(wire.error)}`,
    )
    assert.equal(wire.establishedCount, 0)
  }
})

// ── TLS 1.2 ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Row12 extends Pick<Row, 'name' | 'alert' | 'policy'> {
  /** What the client says after ServerHelloDone. */
  readonly say: (client: TestClient12) => void
}

function certify12({ chain }: ClientCertificate): Uint8Array {
  return certificateMessage12(chain)
}

const ROWS12: readonly Row12[] = [
  {
    name: 'no certificate',
    say: (client) => client.say(certificateMessage12([])).exchangeKeys().changeCipherSpec().finish(),
    alert: 'handshake_failure',
  },
  {
    name: 'a certificate of another CA',
    say: (client) => client.say(certify12(stranger)),
    alert: 'unknown_ca',
  },
  {
    name: 'a certificate that has expired',
    say: (client) => client.say(certify12(expired)),
    alert: 'certificate_expired',
  },
  {
    name: 'a key of RSA with 1024 bits, whatever the policy',
    policy: credulous,
    say: (client) => client.say(certify12(shortRsa)),
    alert: 'unsupported_certificate',
  },
  {
    name: 'ClientKeyExchange in place of Certificate',
    say: (client) => client.exchangeKeys(),
    alert: 'unexpected_message',
  },
  {
    name: 'change_cipher_spec in place of Certificate',
    say: (client) => client.changeCipherSpec(),
    alert: 'unexpected_message',
  },
  {
    name: 'Certificate twice',
    say: (client) => client.say(certify12(good), certify12(good)),
    alert: 'unexpected_message',
  },
  {
    name: 'bytes that are no certificate',
    policy: credulous,
    say: (client) => client.say(certificateMessage12([hex('4741524241474 5')])),
    alert: 'decode_error',
  },
  {
    name: 'an entry with extensions, as TLS 1.3 has them',
    say: (client) =>
      client.say(
        message(MESSAGE.certificate, vector24(concat(vector24(good.chain[0] as Uint8Array), u8(0), u8(0)))),
      ),
    alert: 'decode_error',
  },
  {
    name: 'eleven certificates',
    policy: credulous,
    say: (client) =>
      client.say(certificateMessage12(Array.from({ length: 11 }, () => good.chain[0] as Uint8Array))),
    alert: 'bad_certificate',
  },
  {
    name: 'a Certificate of more than 65,536 bytes, by its header',
    say: (client) => client.plain(RECORD.handshake, hex('0b 010001')),
    alert: 'illegal_parameter',
  },
  {
    name: 'change_cipher_spec in place of CertificateVerify',
    say: (client) => client.say(certify12(good)).exchangeKeys().changeCipherSpec().finish(),
    alert: 'unexpected_message',
  },
  {
    name: 'CertificateVerify after an empty Certificate',
    policy: { ...usual, isRequired: false },
    say: (client) => {
      client.say(certificateMessage12([])).exchangeKeys()
      client.say(client.verifyMessage(good))
    },
    alert: 'unexpected_message',
  },
  {
    name: 'CertificateVerify before ClientKeyExchange',
    say: (client) => {
      client.say(certify12(good))
      client.say(client.verifyMessage(good))
    },
    alert: 'unexpected_message',
  },
  {
    name: 'CertificateVerify twice',
    say: (client) => {
      client.say(certify12(good)).exchangeKeys()
      client.say(client.verifyMessage(good))
      client.say(client.verifyMessage(good))
    },
    alert: 'unexpected_message',
  },
  {
    name: 'a signature with a byte changed',
    say: (client) => {
      client.say(certify12(good)).exchangeKeys()
      const verify = client.verifyMessage(good)
      client.say(flipped(verify, verify.length - 1))
    },
    alert: 'decrypt_error',
  },
  {
    name: 'a signature of another key',
    say: (client) => {
      client.say(certify12(good)).exchangeKeys()
      client.say(client.verifyMessage(another))
    },
    alert: 'decrypt_error',
  },
  {
    name: 'a signature that leaves the ClientHello out',
    say: (client) => {
      client.say(certify12(good)).exchangeKeys()
      client.say(client.verifyMessage(good, concat(...client.transcript.slice(1))))
    },
    alert: 'decrypt_error',
  },
  {
    name: 'a scheme of another kind of key',
    say: (client) => {
      client.say(certify12(good)).exchangeKeys()
      client.say(patched(client.verifyMessage(good), 4, 0x08, 0x04))
    },
    alert: 'illegal_parameter',
  },
  {
    name: 'RSA with SHA-1',
    say: (client) => {
      client.say(certify12(rsa)).exchangeKeys()
      client.say(certificateVerifyMessage(SCHEME.rsa_pkcs1_sha1, new Uint8Array(256)))
    },
    alert: 'illegal_parameter',
  },
  {
    name: 'a signature cut short',
    say: (client) => {
      client.say(certify12(good)).exchangeKeys()
      client.say(
        message(
          MESSAGE.certificate_verify,
          concat(hex('0403'), vector16(new Uint8Array(70)).subarray(0, 40)),
        ),
      )
    },
    alert: 'decode_error',
  },
  {
    name: 'bytes behind CertificateVerify',
    say: (client) => {
      client.say(certify12(good)).exchangeKeys()
      client.plain(RECORD.handshake, concat(client.verifyMessage(good), u8(MESSAGE.finished)))
    },
    alert: 'unexpected_message',
  },
]

for (const { name, say, alert, policy = usual } of ROWS12) {
  test(`TLS 1.2 refuses ${name}: ${alert}`, () => {
    const wire = new Wire12({ context: contextOf(policy), autoFinish: false }).start()
    assert.equal(wire.client.state, 'server done')
    say(wire.client)
    assertRefused(wire.run(), alert, { signCalls: 1 })
    assert.equal(wire.establishedCount, 0)
  })
}

test('TLS 1.2: each scheme that goes with the key, ECDSA with any hash, RSA in both ways', () => {
  const context = contextOf(usual)
  const { rsa_pkcs1_sha256, rsa_pkcs1_sha384, rsa_pkcs1_sha512, rsa_pss_rsae_sha256, rsa_pss_rsae_sha512 } =
    SCHEME
  const { ecdsa_secp256r1_sha256, ecdsa_secp384r1_sha384, ecdsa_secp521r1_sha512 } = SCHEME
  const rows: readonly [ClientCertificate, readonly number[]][] = [
    [rsa, [rsa_pkcs1_sha256, rsa_pkcs1_sha384, rsa_pkcs1_sha512, rsa_pss_rsae_sha256, rsa_pss_rsae_sha512]],
    [good, [ecdsa_secp256r1_sha256, ecdsa_secp384r1_sha384, ecdsa_secp521r1_sha512]],
    [p384, [ecdsa_secp256r1_sha256, ecdsa_secp384r1_sha384, ecdsa_secp521r1_sha512]],
  ]
  for (const [certificate, schemes] of rows) {
    for (const scheme of schemes) {
      for (const hasExtendedMasterSecret of [true, false]) {
        const wire = new Wire12({
          context,
          certificate: { ...certificate, scheme },
          hasExtendedMasterSecret,
        }).start()
        assertEstablished(wire)
        assert.equal(wire.session?.authorized, true)
      }
    }
  }
})

test('TLS 1.2: Certificate, ClientKeyExchange and CertificateVerify may share a record', () => {
  const wire = new Wire12({ context: contextOf(usual), autoFinish: false }).start()
  const { client } = wire
  const flight: Uint8Array[] = [
    certify12(good),
    message(MESSAGE.client_key_exchange, client.keyExchangeBody()),
  ]
  client.transcript.push(flight[0] as Uint8Array)
  client.exchanged(flight[1] as Uint8Array)
  flight.push(client.verifyMessage(good))
  client.say(...flight)
  client.transcript.splice(-3, 2)
  client.changeCipherSpec().finish()
  assertEstablished(wire.run())
})

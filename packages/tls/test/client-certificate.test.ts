// Client certificates that are taken, in both versions. RFC 8446 §4.3.2, §4.4.2, §4.4.3; RFC 5246 §7.4.4, §7.4.6, §7.4.8.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reader } from '@latchkey/core'
import {
  type ClientCertificatePolicy,
  createClientCaPolicy,
  type ServerContext,
  type Session,
  SIGNATURE_SCHEMES,
} from '@latchkey/tls'
import { createThrowawayCa, type KeyAlgorithm } from '@latchkey/throwaway-pki'
import { concat, toHex, u8 } from './support/bytes.ts'
import {
  certificateMessage12,
  type ClientCertificate,
  clientCertificate,
} from './support/client-certificate.ts'
import { RECORD, RSA_SUITE12, SCHEME } from './support/code-points.ts'
import { type ServerSide, testContext, Wire, Wire12 } from './support/harness.ts'
import { assertEstablished } from './support/outcome.ts'

const root = await createThrowawayCa()
const intermediate = await root.issueIntermediate()
const required = createClientCaPolicy({ ca: root.certificatePem })
const optional = createClientCaPolicy({ ca: root.certificatePem, rejectUnauthorized: false })

const ALGORITHMS: readonly KeyAlgorithm[] = ['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'rsa-2048', 'ed25519']
const certificates = new Map<KeyAlgorithm, ClientCertificate>()
for (const keyAlgorithm of ALGORITHMS) {
  certificates.set(
    keyAlgorithm,
    clientCertificate(await intermediate.issue({ keyAlgorithm, commonName: 'a client' })),
  )
}
const usual = certificates.get('ecdsa-p256') as ClientCertificate

function contextOf(policy: ClientCertificatePolicy | undefined): ServerContext {
  return testContext({ clientCertificates: () => policy })
}

interface Version {
  readonly name: string
  wire(options: ServerSide, certificate?: ClientCertificate): Wire | Wire12
}

const VERSIONS: readonly Version[] = [
  {
    name: 'TLS 1.3',
    wire: (options, certificate) => new Wire({ ...options, ...(certificate && { certificate }) }),
  },
  {
    name: 'TLS 1.2',
    wire: (options, certificate) => new Wire12({ ...options, ...(certificate && { certificate }) }),
  },
]

for (const version of VERSIONS) {
  for (const [keyAlgorithm, certificate] of certificates) {
    test(`${version.name}: a client with a ${keyAlgorithm} certificate below an intermediate`, () => {
      for (const pieceBytes of [Number.POSITIVE_INFINITY, 1]) {
        const wire = version.wire({ context: contextOf(required), pieceBytes }, certificate)
        wire.start()
        assertEstablished(wire)
        const { peerCertificates, authorized, authorizationError } = wire.session as Session
        assert.deepEqual(peerCertificates.map(toHex), certificate.chain.map(toHex))
        assert.equal(authorized, true)
        assert.equal(authorizationError, undefined)
      }
    })
  }

  test(`${version.name}: a client without a certificate, where none is required`, () => {
    const wire = version.wire({ context: contextOf(optional) })
    wire.start()
    assertEstablished(wire)
    const { peerCertificates, authorized, authorizationError } = wire.session as Session
    assert.deepEqual([peerCertificates, authorized], [[], false])
    assert.equal(authorizationError, 'ERR_TLS_CERTIFICATE_REQUIRED')
  })

  test(`${version.name}: a server that does not ask`, () => {
    const wire = version.wire({ context: contextOf(undefined) }, usual)
    wire.start()
    assertEstablished(wire)
    assert.equal(wire.client.certificateRequest, undefined)
    const { peerCertificates, authorized, authorizationError } = wire.session as Session
    assert.deepEqual([peerCertificates, authorized, authorizationError], [[], false, undefined])
  })

  test(`${version.name}: CertificateRequest names schemes and CAs, and no CA if they are too many`, () => {
    const asked = (policy: ClientCertificatePolicy) => {
      const wire = version.wire({ context: contextOf(policy) })
      wire.start()
      return wire.client.certificateRequest ?? assert.fail('not asked')
    }
    const { types, schemes, authorities } = asked(optional)
    assert.deepEqual(types, version.name === 'TLS 1.2' ? [1, 64] : [])
    // What both versions sign with comes first; SHA-1 does not come.
    assert.deepEqual(new Set(schemes), new Set(Object.values(SIGNATURE_SCHEMES).map(({ code }) => code)))
    const pkcs1: readonly number[] = [
      SCHEME.rsa_pkcs1_sha256,
      SCHEME.rsa_pkcs1_sha384,
      SCHEME.rsa_pkcs1_sha512,
    ]
    assert.deepEqual(schemes.slice(-3), pkcs1)
    assert.deepEqual(authorities.map(toHex), required.authorities.map(toHex))
    assert.equal(authorities.length, 1)
    const names = Array.from({ length: 200 }, () => new Uint8Array(100))
    assert.deepEqual(asked({ ...optional, authorities: names }).authorities, [])
    assert.deepEqual(asked({ ...optional, authorities: [] }).authorities, [])
    const only = asked({ ...optional, schemes: ['ed25519'] })
    assert.deepEqual(only.schemes, [SCHEME.ed25519])
  })

  test(`${version.name}: the policy is that of the name the client asks for`, () => {
    const names: string[] = []
    const context = testContext({
      clientCertificates: ({ serverName }) => {
        names.push(serverName)
        return serverName === 'example.com' ? required : undefined
      },
    })
    const wire = version.wire({ context }, usual)
    wire.start()
    assertEstablished(wire)
    assert.equal(wire.session?.authorized, true)
    assert.deepEqual(names, ['example.com'])
  })
}

test('nothing that the application writes leaves before the client has shown who it is', () => {
  const wire = new Wire({ context: contextOf(required), certificate: usual, autoFinish: false }).start()
  const { length } = wire.writes
  wire.server.send([u8(1)])
  wire.client.authenticate()
  wire.run()
  wire.server.send([u8(1)])
  assert.equal(wire.writes.length, length)
  wire.client.finish()
  wire.run()
  wire.server.send([u8(1)])
  wire.run()
  assert.equal(wire.client.received.length, 1)
})

test('a client certificate after HelloRetryRequest', () => {
  const wire = new Wire({ context: contextOf(required), certificate: usual, shares: [] }).start()
  assertEstablished(wire)
  assert.equal(wire.client.retries, 1)
  assert.equal(wire.session?.authorized, true)
})

test('TLS 1.2: a client certificate with RSA key exchange, while the premaster secret is decrypted elsewhere', () => {
  const name = 'TLS_RSA_WITH_AES_128_GCM_SHA256'
  const context = testContext({
    kinds: ['rsa2048'],
    cipherSuites12: [name],
    clientCertificates: () => required,
  })
  for (const signing of ['at once', 'after'] as const) {
    for (const certificate of certificates.values()) {
      const hello = { suites: [RSA_SUITE12[name]] }
      const wire = new Wire12({ context, signing, certificate, hello }).start()
      assertEstablished(wire)
      assert.equal(wire.session?.authorized, true)
      assert.equal(wire.decryptCalls.length, 1)
    }
  }
})

test('TLS 1.2: CertificateVerify in the record of an encrypted premaster secret waits for its decryption', () => {
  const name = 'TLS_RSA_WITH_AES_128_GCM_SHA256'
  const context = testContext({
    kinds: ['rsa2048'],
    cipherSuites12: [name],
    clientCertificates: () => required,
  })
  for (const signing of ['at once', 'after'] as const) {
    const hello = { suites: [RSA_SUITE12[name]] }
    const wire = new Wire12({ context, signing, hello, autoFinish: false }).start()
    const { client } = wire
    client.say(certificateMessage12(usual.chain)).exchangeKeys().say(client.verifyMessage(usual))
    client.plain(RECORD.handshake, concat(...fragments(client.take())))
    client.changeCipherSpec().finish()
    wire.run()
    assertEstablished(wire)
    assert.equal(wire.session?.authorized, true)
  }
})

/** The fragments of plaintext records. */
function fragments(records: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = []
  for (const reader = new Reader(records); reader.left > 0; ) {
    reader.opaque(3)
    found.push(reader.opaque16())
  }
  return found
}

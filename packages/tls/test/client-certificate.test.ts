// Client certificates that are taken, in both versions. RFC 8446 §4.3.2, §4.4.2, §4.4.3; RFC 5246 §7.4.4, §7.4.6, §7.4.8.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClientCaPolicy, type ServerContext, type Session } from '@latchkey/tls'
import { createThrowawayCa, type KeyAlgorithm } from '@latchkey/throwaway-pki'
import { toHex } from './support/bytes.ts'
import { type ClientCertificate, clientCertificate } from './support/client-certificate.ts'
import { type ServerSide, testContext, Wire, Wire12 } from './support/harness.ts'
import { assertEstablished } from './support/outcome.ts'

const root = await createThrowawayCa()
const intermediate = await root.issueIntermediate({ keyAlgorithm: 'rsa-2048' })

function contextOf(rejectUnauthorized = true): ServerContext {
  const policy = createClientCaPolicy({ ca: root.certificatePem, rejectUnauthorized })
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

const ALGORITHMS: readonly KeyAlgorithm[] = [
  'ecdsa-p256',
  'ecdsa-p384',
  'ecdsa-p521',
  'rsa-2048',
  'rsa-3072',
  'ed25519',
]

for (const version of VERSIONS) {
  for (const keyAlgorithm of ALGORITHMS) {
    test(`${version.name}: a client with a ${keyAlgorithm} certificate below an intermediate`, async () => {
      const certificate = clientCertificate(
        await intermediate.issue({ keyAlgorithm, commonName: 'a client' }),
      )
      for (const pieceBytes of [Number.POSITIVE_INFINITY, 1]) {
        const wire = version.wire({ context: contextOf(), pieceBytes }, certificate)
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
    const wire = version.wire({ context: contextOf(false) })
    wire.start()
    assertEstablished(wire)
    const { peerCertificates, authorized, authorizationError } = wire.session as Session
    assert.deepEqual(
      [peerCertificates, authorized, authorizationError],
      [[], false, 'ERR_TLS_CERTIFICATE_REQUIRED'],
    )
  })
}

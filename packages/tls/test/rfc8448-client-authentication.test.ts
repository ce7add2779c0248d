// RFC 8448 §6, a handshake with client authentication: what the engine computes and checks of it, byte for byte.
//
// It cannot be replayed whole: our EncryptedExtensions and CertificateRequest differ from the RFC's, so the client's
// signature, whose key is not printed, is over another transcript than ours would be.
import assert from 'node:assert/strict'
import { diffieHellman, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createClientCaPolicy, TlsError } from '@latchkey/tls'
import { checkCertificateVerify } from '../src/client-certificate/certificate-verify.ts'
import { authorizeClient, readClientCertificate } from '../src/client-certificate/client-certificate.ts'
import { HandshakeStage, hkdf } from '../src/handshake/key-schedule.ts'
import { TLS13 } from '../src/handshake/protocol-version.ts'
import { certificateVerifyContent } from '../src/handshake/server-messages.ts'
import { flipped, hex } from './support/bytes.ts'
import { checkCertificateVerify as checkServer, x25519PublicKey } from './support/client-crypto.ts'
import { hashOf } from './support/client-keys.ts'
import { SCHEME } from './support/code-points.ts'
import { readCertificate, readCertificateRequest, readCertificateVerify } from './support/server-messages.ts'
import { assertSame, NONE, of, x25519PrivateKey } from './support/trace.ts'

const trace = JSON.parse(
  readFileSync(new URL('vectors/rfc8448-client-authentication.json', import.meta.url), 'utf8'),
  (key, value: unknown) =>
    typeof value === 'string' && key !== 'source' && key !== 'group' ? hex(value) : value,
) as Record<'client' | 'messages' | 'secrets', Record<string, Uint8Array>>
const { messages, secrets } = trace

const ORDER = [
  'clientHello',
  'serverHello',
  'encryptedExtensions',
  'certificateRequest',
  'certificate',
  'certificateVerify',
  'serverFinished',
  'clientCertificate',
  'clientCertificateVerify',
] as const

/** Transcript-Hash up to and with this message. */
function hashUpTo(last: (typeof ORDER)[number]): Uint8Array {
  return hashOf('sha256', ...ORDER.slice(0, ORDER.indexOf(last) + 1).map((name) => of(messages, name)))
}

function bodyOf(name: (typeof ORDER)[number]): Uint8Array {
  return of(messages, name).subarray(4)
}

const policy = createClientCaPolicy({ rejectUnauthorized: false })

test('RFC 8448 §6: secrets, and both Finished with CertificateRequest and the client’s messages in the transcript', () => {
  const serverShare = bodyOf('serverHello').subarray(48, 80)
  const secret = diffieHellman({
    privateKey: x25519PrivateKey(of(trace.client, 'privateKey')),
    publicKey: x25519PublicKey(serverShare),
  })
  const kdf = hkdf('sha256')
  const stage = new HandshakeStage(kdf, secret)
  const handshake = stage.trafficSecrets(hashUpTo('serverHello'))
  assertSame(handshake.client, of(secrets, 'clientHandshakeTraffic'), 'c hs traffic')
  assertSame(handshake.server, of(secrets, 'serverHandshakeTraffic'), 's hs traffic')
  const serverFinished = kdf.verifyData(handshake.server, hashUpTo('certificateVerify'))
  assertSame(serverFinished, bodyOf('serverFinished'), 'server Finished')
  const application = stage.master().trafficSecrets(hashUpTo('serverFinished'))
  assertSame(application.client, of(secrets, 'clientApplicationTraffic'), 'c ap traffic')
  assertSame(application.server, of(secrets, 'serverApplicationTraffic'), 's ap traffic')
  const clientFinished = kdf.verifyData(handshake.client, hashUpTo('clientCertificateVerify'))
  assertSame(clientFinished, of(messages, 'clientFinished').subarray(4), 'client Finished')
})

test('RFC 8448 §6: the server’s CertificateVerify covers CertificateRequest', () => {
  const [leaf] = readCertificate(bodyOf('certificate')).chain
  const { scheme, signature } = readCertificateVerify(bodyOf('certificateVerify'))
  checkServer(leaf ?? NONE, scheme, signature, hashUpTo('certificate'))
  const { schemes, authorities } = readCertificateRequest(bodyOf('certificateRequest'))
  assert.ok(schemes.includes(SCHEME.rsa_pss_rsae_sha256))
  assert.deepEqual(authorities, [])
})

test('RFC 8448 §6: the client’s Certificate is read, and its CertificateVerify verifies', () => {
  const chain = readClientCertificate(bodyOf('clientCertificate'))
  assert.equal(chain.length, 1)
  const { publicKey, subject } = new X509Certificate(chain[0] ?? NONE)
  assert.equal(subject, 'CN=client')
  const content = certificateVerifyContent(hashUpTo('clientCertificate'), 'client')
  const signed = { policy, publicKey, version: TLS13, content }
  const body = bodyOf('clientCertificateVerify')
  checkCertificateVerify(body, signed)
  for (let at = 4; at < body.length; at += 9) {
    assert.throws(() => checkCertificateVerify(flipped(body, at), signed), { code: 'ERR_TLS_DECRYPT' })
  }
  const asServer = { ...signed, content: certificateVerifyContent(hashUpTo('clientCertificate')) }
  assert.throws(() => checkCertificateVerify(body, asServer), { code: 'ERR_TLS_DECRYPT' })
})

test('RFC 8448 §6: its 1024-bit RSA key is not taken', () => {
  const chain = readClientCertificate(bodyOf('clientCertificate'))
  assert.throws(
    () => authorizeClient(chain, policy, Date.UTC(2018)),
    (error) => error instanceof TlsError && error.code === 'ERR_TLS_UNSUPPORTED_CERTIFICATE',
  )
})

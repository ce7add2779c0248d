// The secrets and records printed in RFC 8448, against the engine's key schedule and against the test client.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { HandshakeStage, hkdf, trafficKeys } from '../src/handshake/key-schedule.ts'
import { ascii, concat, hex, u8 } from './support/bytes.ts'
import { checkCertificateVerify } from './support/client-crypto.ts'
import {
  deriveSecret,
  expandLabel,
  finishedData,
  handshakeSecret,
  hashOf,
  hmac,
  masterSecret,
} from './support/client-keys.ts'
import { RECORD, SCHEME } from './support/code-points.ts'
import { readCertificate, readCertificateVerify } from './support/server-messages.ts'
import {
  assertSame,
  keysOf,
  NONE,
  of,
  readTrace,
  sharedSecret,
  type TraceName,
  traceServerKey,
  transcripts,
} from './support/trace.ts'

const ZEROS = new Uint8Array(32)
const FULL: readonly TraceName[] = ['simple', 'retry', 'compatibility']

// ── the engine's key schedule ─────────────────────────────────────────────────────────────────────────────────────

for (const name of FULL) {
  const trace = readTrace(name)
  test(`${trace.source.split('.')[0]}: the stages of the key schedule give the printed secrets`, () => {
    const { secrets, messages } = trace
    const hashes = transcripts(trace)
    const kdf = hkdf('sha256')
    if (secrets['sharedSecret'] !== undefined) {
      assertSame(sharedSecret(trace), secrets['sharedSecret'], 'shared secret')
    }
    if (trace.helloHash !== undefined) assertSame(hashes.hello, trace.helloHash, 'transcript of the hellos')
    assertSame(kdf.extract(ZEROS, ZEROS), of(secrets, 'early'), 'early')
    assertSame(kdf.derivedEarlySecret, of(secrets, 'derivedForHandshake'), 'derived for handshake')

    const stage = new HandshakeStage(kdf, sharedSecret(trace))
    const handshake = stage.trafficSecrets(hashes.hello)
    assertSame(handshake.client, of(secrets, 'clientHandshakeTraffic'), 'c hs traffic')
    assertSame(handshake.server, of(secrets, 'serverHandshakeTraffic'), 's hs traffic')
    const serverFinished = kdf.verifyData(handshake.server, hashes.beforeFinished)
    assertSame(serverFinished, of(messages, 'serverFinished').subarray(4), 'server Finished')
    const clientFinished = kdf.verifyData(handshake.client, hashes.beforeClient)
    assertSame(clientFinished, of(messages, 'clientFinished').subarray(4), 'client Finished')

    const master = stage.master()
    const application = master.trafficSecrets(hashes.serverFinished)
    assertSame(application.client, of(secrets, 'clientApplicationTraffic'), 'c ap traffic')
    assertSame(application.server, of(secrets, 'serverApplicationTraffic'), 's ap traffic')
    assertSame(
      master.exporterMasterSecret(hashes.serverFinished),
      of(secrets, 'exporterMaster'),
      'exp master',
    )
    assertSame(
      master.resumptionMasterSecret(hashes.clientFinished),
      of(secrets, 'resumptionMaster'),
      'res master',
    )
  })
}

for (const name of [...FULL, 'resumed'] as const) {
  const trace = readTrace(name)
  test(`${trace.source.split('.')[0]}: each step of the key schedule by itself, and the traffic keys`, () => {
    const { secrets, keys } = trace
    const kdf = hkdf('sha256')
    const hashes = transcripts(trace)
    assertSame(kdf.extract(ZEROS, secrets['psk'] ?? ZEROS), of(secrets, 'early'), 'early')
    const derived = kdf.deriveSecret(of(secrets, 'early'), 'derived', kdf.emptyHash)
    assertSame(derived, of(secrets, 'derivedForHandshake'), 'derived for handshake')
    assertSame(kdf.extract(derived, sharedSecret(trace)), of(secrets, 'handshake'), 'handshake')
    const handshake = of(secrets, 'handshake')
    const master = kdf.extract(of(secrets, 'derivedForMaster'), ZEROS)
    assertSame(
      kdf.deriveSecret(handshake, 'derived', kdf.emptyHash),
      of(secrets, 'derivedForMaster'),
      'derived',
    )
    if (secrets['master'] !== undefined) assertSame(master, secrets['master'], 'master')
    const steps = [
      [handshake, 'c hs traffic', hashes.hello, 'clientHandshakeTraffic'],
      [handshake, 's hs traffic', hashes.hello, 'serverHandshakeTraffic'],
      [master, 'c ap traffic', hashes.serverFinished, 'clientApplicationTraffic'],
      [master, 's ap traffic', hashes.serverFinished, 'serverApplicationTraffic'],
      [master, 'exp master', hashes.serverFinished, 'exporterMaster'],
      [master, 'res master', hashes.clientFinished, 'resumptionMaster'],
    ] as const
    for (const [secret, label, hash, expected] of steps) {
      assertSame(kdf.deriveSecret(secret, label, hash), of(secrets, expected), label)
    }
    for (const [traffic, { key, iv }] of Object.entries(keys)) {
      const own = trafficKeys(kdf, of(secrets, `${traffic}Traffic`), 16)
      assertSame(own.key, key, `${traffic} key`)
      assertSame(own.iv, iv, `${traffic} iv`)
    }
  })
}

test('RFC 8448 §4: the binder of the resumed handshake is a Finished over the truncated hello', () => {
  const { secrets, messages, binderHash } = readTrace('resumed')
  const binder = of(secrets, 'binder')
  // Two lengths and the binder itself are left out.
  const truncated = of(messages, 'clientHello').subarray(0, -(2 + 1 + binder.length))
  assertSame(hashOf('sha256', truncated), binderHash ?? NONE, 'hash')
  assertSame(hkdf('sha256').verifyData(of(secrets, 'binderKey'), binderHash ?? NONE), binder, 'binder')
})

// ── the test client ───────────────────────────────────────────────────────────────────────────────────────────────

test('the test client derives the printed secrets by its own code', () => {
  for (const name of FULL) {
    const trace = readTrace(name)
    const { secrets, messages } = trace
    const hashes = transcripts(trace)
    const handshake = handshakeSecret('sha256', sharedSecret(trace))
    assertSame(handshake, of(secrets, 'handshake'), 'handshake')
    const master = masterSecret('sha256', handshake)
    const server = deriveSecret('sha256', handshake, 's hs traffic', hashes.hello)
    assertSame(server, of(secrets, 'serverHandshakeTraffic'), 's hs traffic')
    const client = deriveSecret('sha256', master, 'c ap traffic', hashes.serverFinished)
    assertSame(client, of(secrets, 'clientApplicationTraffic'), 'c ap traffic')
    const finished = finishedData('sha256', server, hashes.beforeFinished)
    assertSame(finished, of(messages, 'serverFinished').subarray(4), 'server Finished')
  }
  const { secrets, messages } = readTrace('resumed')
  const binderKey = deriveSecret('sha256', of(secrets, 'early'), 'res binder', hashOf('sha256'))
  assertSame(binderKey, of(secrets, 'binderKey'), 'res binder')
  assertSame(
    expandLabel('sha256', binderKey, 'finished', NONE, 32),
    of(secrets, 'binderFinishedKey'),
    'finished',
  )
  const hello = hashOf('sha256', of(messages, 'clientHello'))
  const early = deriveSecret('sha256', of(secrets, 'early'), 'c e traffic', hello)
  assertSame(early, of(secrets, 'clientEarlyTraffic'), 'c e traffic')
  const psk = expandLabel(
    'sha256',
    of(readTrace('simple').secrets, 'resumptionMaster'),
    'resumption',
    hex('0000'),
    32,
  )
  assertSame(psk, of(secrets, 'psk'), 'resumption')
  assertSame(hmac('sha256', ZEROS, psk), of(secrets, 'early'), 'early')
})

test('the test client opens and seals the printed records', () => {
  for (const name of [...FULL, 'resumed'] as const) {
    const trace = readTrace(name)
    const { records, messages, data } = trace
    const flight = ['encryptedExtensions', 'certificate', 'certificateVerify', 'serverFinished'].flatMap(
      (part) => messages[part] ?? [],
    )
    const sealed = keysOf(trace, 'serverHandshakeTraffic').seal(RECORD.handshake, concat(...flight))
    assertSame(sealed, of(records, 'serverFlight'), 'server flight')
    const inner = keysOf(trace, 'serverHandshakeTraffic').open(of(records, 'serverFlight'))
    assertSame(inner, concat(...flight, u8(RECORD.handshake)), 'server flight opened')
    const client = keysOf(trace, 'clientHandshakeTraffic')
    assertSame(
      client.seal(RECORD.handshake, of(messages, 'clientFinished')),
      of(records, 'clientFinished'),
      'Finished',
    )
    const fromClient = keysOf(trace, 'clientApplicationTraffic')
    if (data !== undefined)
      assertSame(fromClient.seal(RECORD.data, data), of(records, 'clientData'), 'client data')
    assertSame(fromClient.seal(RECORD.alert, hex('0100')), of(records, 'clientClose'), 'client close_notify')
  }
})

test('the test client seals the printed early data, and its end under the next number', () => {
  const trace = readTrace('resumed')
  const keys = keysOf(trace, 'clientEarlyTraffic')
  assertSame(keys.seal(RECORD.data, ascii('ABCDEF')), of(trace.records, 'earlyData'), 'early data')
  const end = keys.seal(RECORD.handshake, of(trace.messages, 'endOfEarlyData'))
  assertSame(end, of(trace.records, 'endOfEarlyData'), 'EndOfEarlyData')
})

test("the test client verifies the printed CertificateVerify, and the RFC's key is the certificate's", () => {
  for (const name of FULL) {
    const trace = readTrace(name)
    const [leaf] = readCertificate(of(trace.messages, 'certificate').subarray(4)).chain
    const { scheme, signature } = readCertificateVerify(of(trace.messages, 'certificateVerify').subarray(4))
    assert.equal(scheme, SCHEME.rsa_pss_rsae_sha256)
    checkCertificateVerify(leaf ?? NONE, scheme, signature, transcripts(trace).certificate)
    assert.equal(new X509Certificate(leaf ?? NONE).checkPrivateKey(traceServerKey()), true)
  }
})

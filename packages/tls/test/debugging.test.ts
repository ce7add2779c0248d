// What a connection tells those who ask on purpose: its secrets, its fingerprint, keying material.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { ja4 } from '../src/handshake/fingerprint.ts'
import { readClientHello } from '../src/handshake/client-hello.ts'
import { ascii, concat, toHex, u16 } from './support/bytes.ts'
import { encodeHelloBody } from './support/client-hello.ts'
import { deriveSecret, expandLabel, hashOf } from './support/client-keys.ts'
import { prf } from './support/client-keys12.ts'
import { SUITE } from './support/code-points.ts'
import { establishedWire, testContext, unfinishedWire, Wire, Wire12 } from './support/harness.ts'

const CLIENT_RANDOM = new Uint8Array(32).fill(0x5e)

test('the key log has the secrets that the client has, under its random', () => {
  for (const shares of [undefined, []]) {
    const lines: string[] = []
    const context = testContext({ keyLog: (line) => lines.push(line) })
    const wire = unfinishedWire({
      context,
      hello: { random: CLIENT_RANDOM },
      ...(shares === undefined ? {} : { shares }),
    })
    const random = toHex(CLIENT_RANDOM)
    const { client } = wire
    const handshakeSecret = toHex(client.writer.secret)
    const serverTraffic = toHex(client.readKeys?.secret ?? new Uint8Array(0))
    assert.deepEqual(
      lines.map((line) => line.split(' ').slice(0, 2).join(' ')),
      [
        'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
        'SERVER_HANDSHAKE_TRAFFIC_SECRET',
        'CLIENT_TRAFFIC_SECRET_0',
        'SERVER_TRAFFIC_SECRET_0',
        'EXPORTER_SECRET',
      ].map((label) => `${label} ${random}`),
    )
    assert.equal(lines[0], `CLIENT_HANDSHAKE_TRAFFIC_SECRET ${random} ${handshakeSecret}\n`)
    assert.equal(lines[3], `SERVER_TRAFFIC_SECRET_0 ${random} ${serverTraffic}\n`)
    assert.equal(lines[4], `EXPORTER_SECRET ${random} ${toHex(client.exporterSecret ?? new Uint8Array(0))}\n`)
    client.finish()
    wire.run()
    assert.equal(lines[2], `CLIENT_TRAFFIC_SECRET_0 ${random} ${toHex(client.writer.secret)}\n`)
  }
})

for (const suite of [SUITE.TLS_AES_128_GCM_SHA256, SUITE.TLS_AES_256_GCM_SHA384]) {
  test(`keying material is what the client exports, suite 0x${suite.toString(16)}`, () => {
    const wire = establishedWire({ hello: { suites: [suite] } })
    const hash = suite === SUITE.TLS_AES_256_GCM_SHA384 ? 'sha384' : 'sha256'
    const master = wire.client.exporterSecret as Uint8Array
    const derived = deriveSecret(hash, master, 'EXPORTER-test', hashOf(hash))
    for (const context of [undefined, ascii('a context')]) {
      const contextHash = hashOf(hash, context ?? new Uint8Array(0))
      const expected = expandLabel(hash, derived, 'exporter', contextHash, 40)
      assert.equal(toHex(wire.server.exportKeyingMaterial('EXPORTER-test', context, 40)), toHex(expected))
    }
    assert.ok(!inspect(wire.server, { depth: 9, showHidden: true }).includes(toHex(master)))
    wire.server.fail('ERR_TLS_TRANSPORT')
    assert.throws(() => wire.server.exportKeyingMaterial('EXPORTER-test', undefined, 40), TypeError)
  })
}

test('TLS 1.2: the key log has the master secret, and keying material is what the client exports', () => {
  const lines: string[] = []
  const context = testContext({ keyLog: (line) => lines.push(line) })
  const wire = new Wire12({ context, hello: { random: CLIENT_RANDOM } }).start()
  const { masterSecret, serverRandom } = wire.client
  assert.deepEqual(lines, [`CLIENT_RANDOM ${toHex(CLIENT_RANDOM)} ${toHex(masterSecret)}\n`])
  const randoms = concat(CLIENT_RANDOM, serverRandom)
  const long = new Uint8Array(1000).fill(7)
  // RFC 5705 §4: no context is not an empty one.
  for (const context of [undefined, new Uint8Array(0), ascii('a context'), long]) {
    const seed = context === undefined ? randoms : concat(randoms, u16(context.length), context)
    const expected = prf('sha256', masterSecret, 'EXPORTER-test', seed, 77)
    assert.equal(toHex(wire.server.exportKeyingMaterial('EXPORTER-test', context, 77)), toHex(expected))
  }
  assert.ok(!inspect(wire.server, { depth: 9, showHidden: true }).includes(toHex(masterSecret)))
})

test('an exporter label may be empty in TLS 1.2, where nothing forbids it, and not in TLS 1.3', () => {
  const wire = new Wire12().start()
  const { masterSecret, serverRandom, hello } = wire.client
  const expected = prf('sha256', masterSecret, '', concat(hello.random, serverRandom), 40)
  assert.equal(toHex(wire.server.exportKeyingMaterial('', undefined, 40)), toHex(expected))
  // RFC 8446 §7.1: `label<7..255>` of HkdfLabel, of which `tls13 ` is six.
  assert.throws(() => new Wire().start().server.exportKeyingMaterial('', undefined, 40), RangeError)
})

test('TLS 1.2 without extended_master_secret exports nothing', () => {
  const wire = new Wire12({ hasExtendedMasterSecret: false }).start()
  assert.equal(wire.establishedCount, 1)
  assert.throws(() => wire.server.exportKeyingMaterial('EXPORTER-test', undefined, 32), TypeError)
})

test('nothing is exported before the client has finished', () => {
  const wire = unfinishedWire()
  assert.throws(() => wire.server.exportKeyingMaterial('EXPORTER-test', undefined, 32), TypeError)
})

test('a fingerprint is taken where it is asked for, of the first hello, also of a client that is refused', () => {
  const context = testContext({ fingerprints: true })
  const extra = [{ type: 0x1a1a, body: u16(0) }]
  for (const hello of [{ extra }, { extra, serverName: 'nobody.example' }]) {
    const wire = new Wire({ context, hello })
    const expected = ja4(readClientHello(encodeHelloBody(wire.client.hello)))
    wire.start()
    assert.equal(wire.server.fingerprint?.ja4, expected)
    assert.match(wire.server.fingerprint?.ja3 ?? '', /^[0-9a-f]{32}$/)
  }
  assert.equal(establishedWire().server.fingerprint, undefined)
})

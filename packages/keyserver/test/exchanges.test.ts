// What another key server answered to recorded requests: ours says the same, byte for byte where it can be.
import assert from 'node:assert/strict'
import { constants, createPublicKey, verify } from 'node:crypto'
import { test } from 'node:test'
import { PacketFramer, readPacket } from '@latchkey/wire'
import { storeOf, testKey } from './support/test-keys.ts'
import { startServer } from './support/test-server.ts'
import recorded from './vectors/exchanges.json' with { type: 'json' }

/** What the recorded digests are digests of. */
const MESSAGE = Buffer.from('keyless golden vector')
const KEYS = ['rsa2048', 'p256', 'p384', 'p521', 'ed25519'] as const

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  for (const exchange of recorded.exchanges) {
    test(`${exchange.name} over ${maxVersion}: ${exchange.note}`, async (t) => {
      const { connect } = await startServer(t, { keyStore: storeOf(...KEYS.map(testKey)) })
      const client = await connect({ maxVersion })
      client.send(Buffer.from(exchange.requestHex, 'hex'))
      const reply = await client.reply(exchange.request.id)

      if (exchange.responseDeterministic) {
        assert.equal(Buffer.concat(client.received).toString('hex'), exchange.responseHex)
        return
      }
      assert.equal(reply.operation.opcode, 0xf0)
      const { spkiDerHex } = recorded.testKeys.find(({ name }) => name === exchange.key) ?? assert.fail()
      const key = createPublicKey({ key: Buffer.from(spkiDerHex, 'hex'), format: 'der', type: 'spki' })
      const hash = exchange.name.slice(-6)
      const options = exchange.name.includes('pss')
        ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
        : key
      const signature = reply.operation.payload ?? assert.fail()
      assert.ok(verify(hash, MESSAGE, options, signature))
      assert.ok(!verify(hash, Buffer.from('other'), options, signature))
    })
  }
}

test('every recorded exchange in one TLS record is answered, each id once', async (t) => {
  const { connect } = await startServer(t, { keyStore: storeOf(...KEYS.map(testKey)) })
  const client = await connect()
  client.send(...recorded.exchanges.map(({ requestHex }) => Buffer.from(requestHex, 'hex')))
  const packets = await client.replies(recorded.exchanges.length)
  const ids = packets.map(({ id }) => id).sort((a, b) => a - b)
  assert.deepEqual(
    ids,
    recorded.exchanges.map(({ request }) => request.id).sort((a, b) => a - b),
  )
})

test('the recorded requests are what our own reader understands', () => {
  for (const { requestHex, request } of recorded.exchanges) {
    const framer = new PacketFramer()
    framer.push(Buffer.from(requestHex, 'hex'))
    const packet = readPacket(framer.next() ?? assert.fail())
    assert.equal(packet.operation.opcode, Number(request.opcode))
  }
})

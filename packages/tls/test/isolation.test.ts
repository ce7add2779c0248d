// One connection's trouble stays its own, and no connection shows its secrets.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CertificateStore, TlsError } from '@latchkey/tls'
import { ascii, toHex } from './support/bytes.ts'
import { RECORD, SUITE } from './support/code-points.ts'
import { establishedWire, testContext, testCredential, unfinishedWire, Wire } from './support/harness.ts'
import { assertHidden, show } from './support/hidden.ts'
import { failHandshakes } from './support/soak.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import { seededRandom } from './support/random.ts'

/** Answers for one name, breaks at another. */
const brittleStore: CertificateStore = {
  select: ({ serverName }) => {
    if (serverName === 'a.example.com') throw new RangeError('the store is broken')
    return [testCredential('p256')]
  },
}

test('row 46: an exception in one connection is its internal_error, and the others go on', () => {
  const context = testContext({ certificates: brittleStore })
  const before = establishedWire({ context })
  const waiting = new Wire({ context, signing: 'hold' }).start()
  const broken = new Wire({ context, hello: { serverName: 'a.example.com' } }).start()
  assertRefused(broken, 'internal_error')
  assert.equal(broken.error?.code, 'ERR_TLS_INTERNAL')
  assert.ok(broken.error.cause instanceof RangeError)
  assert.equal(Buffer.from(broken.output).includes('broken'), false)

  before.client.send(ascii('still here'))
  before.run()
  assert.equal(before.received.length, 10)
  const [call] = waiting.signCalls
  assert.ok(call !== undefined)
  waiting.sign(call)
  assertEstablished(waiting.run())
  assertEstablished(new Wire({ context }).start())
})

test('a source of randomness or keys that breaks is an internal_error', () => {
  const fail = (): never => {
    throw new Error('out of entropy')
  }
  for (const context of [testContext({ random: fail }), testContext({ exchangeKeys: fail })]) {
    const wire = new Wire({ context }).start()
    assertRefused(wire, 'internal_error')
    assert.equal(wire.error?.code, 'ERR_TLS_INTERNAL')
  }
})

test('a store with an empty list serves nobody', () => {
  const context = testContext({ certificates: { select: () => [] } })
  assertRefused(new Wire({ context }).start(), 'unrecognized_name')
})

test('row 46: many connections in many states, bytes of each in turn, do not disturb each other', () => {
  const random = seededRandom(46)
  const context = testContext({ kinds: ['p256', 'rsa2048'] })
  const wires = Array.from({ length: 30 }, () => new Wire({ context, signing: 'hold' }))
  const isBad = (index: number): boolean => index % 5 === 0
  for (const wire of wires) wire.client.start()
  const queues = wires.map((wire) => wire.client.take())
  while (queues.some((queue) => queue.length > 0)) {
    const index = random.below(wires.length)
    const queue = queues[index] ?? new Uint8Array(0)
    const size = 1 + random.below(60)
    wires[index]?.deliver(queue.subarray(0, size))
    queues[index] = queue.subarray(size)
  }
  for (const [index, wire] of [...wires.entries()].toReversed()) {
    const [call] = wire.signCalls
    assert.ok(call !== undefined)
    wire.run()
    if (isBad(index)) wire.client.seal(RECORD.handshake, new Uint8Array(40).fill(1))
    else wire.sign(call)
    wire.run()
  }
  for (const [index, wire] of wires.entries()) {
    if (isBad(index)) assertRefused(wire, 'unexpected_message', { signCalls: 1, encrypted: true })
    else assertEstablished(wire)
  }
})

test('row 48: the check for secrets would find one', () => {
  const secret = seededRandom(48).bytes(32)
  for (const shown of [
    { secret },
    { secret: Buffer.from(secret) },
    { deep: [{ secret }] },
    { text: toHex(secret) },
  ]) {
    assert.throws(() => assertHidden(show(shown), [secret], 'the test'), /shows/)
  }
})

test('row 48: no state of a connection shows its secrets', () => {
  for (const suite of Object.values(SUITE)) {
    const wire = unfinishedWire({ hello: { suites: [suite] } })
    // The client knows what the server knows.
    const handshake = [wire.client.writeKeys?.secret]
    const application = [wire.client.readKeys?.secret]
    assertHidden(show(wire.server), [...handshake, ...application], 'a handshake')
    wire.client.finish()
    wire.run()
    assert.equal(wire.establishedCount, 1)
    application.push(wire.client.writeKeys?.secret)
    assertHidden(show(wire.server, wire.session), [...handshake, ...application], 'an established connection')
    wire.client.updateKeys(1).send(ascii('x'))
    wire.run()
    wire.server.send([ascii('y')])
    wire.run()
    application.push(wire.client.readKeys?.secret, wire.client.writeKeys?.secret)
    assertHidden(show(wire.server), [...handshake, ...application], 'a connection with new keys')
    wire.client.raw(new Uint8Array([23, 3, 3, 0, 20, ...new Uint8Array(20)]))
    wire.run()
    assert.ok(wire.error instanceof TlsError)
    assertHidden(show(wire.server, wire.error), [...handshake, ...application], 'a closed connection')
  }
})

test('row 48: the error of a signer keeps its cause for the operator and hides what was signed with', () => {
  // A fresh context: its first signature is checked.
  const wire = new Wire({ signing: 'hold', context: testContext() }).start()
  const [call] = wire.signCalls
  assert.ok(call !== undefined)
  wire.answered.add(call.id)
  wire.server.privateKeyAnswered(call.id, new Uint8Array(70).fill(0x5a))
  wire.run()
  assert.ok(wire.error instanceof TlsError)
  assertHidden(
    show(wire.server, wire.error),
    [wire.client.readKeys?.secret, wire.client.writeKeys?.secret],
    'the error',
  )
})

test('property d: each of the ways to fail that are tried for leaks fails', () => {
  failHandshakes(70)
})

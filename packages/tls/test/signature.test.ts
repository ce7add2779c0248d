// Signatures that are late, wrong, or do not come.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ascii, concat, flipped, u8 } from './support/bytes.ts'
import { MESSAGE, RECORD } from './support/code-points.ts'
import { signatureFor, testContext, Wire, establishedWire } from './support/harness.ts'
import { seededRandom } from './support/random.ts'
import { assertOver, assertRefused } from './support/outcome.ts'

const AFTER_HELLO = { signCalls: 1, encrypted: true } as const
test('row 41: a signer that fails is an internal error, and why is not for the client', () => {
  const wire = new Wire({ signing: 'hold' }).start()
  const [call] = wire.signCalls
  assert.ok(call !== undefined)
  wire.answered.add(call.id)
  wire.server.privateKeyFailed(call.id, new Error('the key server is on fire'))
  assertRefused(wire.run(), 'internal_error', AFTER_HELLO)
  assert.equal(wire.error?.code, 'ERR_TLS_SIGNER')
  assert.match(String((wire.error?.cause as Error | undefined)?.message), /on fire/)
  assert.equal(Buffer.from(wire.output).includes('fire'), false)
})

test('row 41: a signer that fails inside the handler is an internal error', () => {
  for (const kind of ['p256', 'rsa2048'] as const) {
    const wire: Wire = new Wire({ signing: 'hold', context: testContext({ kinds: [kind] }) })
    wire.onSign = ({ id }) => {
      wire.answered.add(id)
      wire.server.privateKeyFailed(id)
    }
    assertRefused(wire.start(), 'internal_error', {
      ...AFTER_HELLO,
      encrypted: wire.client.writeKeys !== undefined,
    })
  }
})

test('row 41: a signature that does not verify never leaves the process', () => {
  const random = seededRandom(7)
  for (const kind of ['p256', 'p384', 'rsa2048', 'ed25519'] as const) {
    const wrong: readonly ((good: Uint8Array) => Uint8Array)[] = [
      (good) => flipped(good, good.length - 1),
      (good) => good.subarray(0, good.length - 1),
      () => new Uint8Array(0),
      () => random.bytes(64),
      () => random.bytes(256),
    ]
    for (const spoil of wrong) {
      // A fresh context: the first signature is always checked.
      const wire = new Wire({ signing: 'hold', context: testContext({ kinds: [kind] }) }).start()
      const [call] = wire.signCalls
      assert.ok(call !== undefined)
      wire.answered.add(call.id)
      wire.server.privateKeyAnswered(call.id, spoil(signatureFor(call.request)))
      assertRefused(wire.run(), 'internal_error', AFTER_HELLO)
      assert.equal(wire.error?.code, 'ERR_TLS_SIGNER_WRONG')
      assert.equal(
        wire.client.messages.some(({ type }) => type === MESSAGE.certificate_verify),
        false,
      )
    }
  }
})

test('row 41: every RSA signature is checked, not only the first', () => {
  const context = testContext({ kinds: ['rsa2048'] })
  for (let count = 0; count < 3; count++) establishedWire({ context })
  const wire = new Wire({ signing: 'hold', context }).start()
  const [call] = wire.signCalls
  assert.ok(call !== undefined)
  wire.answered.add(call.id)
  wire.server.privateKeyAnswered(call.id, flipped(signatureFor(call.request), 100))
  assertRefused(wire.run(), 'internal_error', AFTER_HELLO)
})

test('row 41: the signature for another connection is a wrong one', () => {
  const context = testContext({ kinds: ['rsa2048'] })
  const other = new Wire({ signing: 'hold', context }).start()
  const wire = new Wire({ signing: 'hold', context }).start()
  const [otherCall] = other.signCalls
  const [call] = wire.signCalls
  assert.ok(otherCall !== undefined && call !== undefined)
  wire.answered.add(call.id)
  wire.server.privateKeyAnswered(call.id, signatureFor(otherCall.request))
  assertRefused(wire.run(), 'internal_error', AFTER_HELLO)
})

test('row 41: a second, a late and an unknown answer are dropped', () => {
  const wire = new Wire({ signing: 'hold' }).start()
  const [call] = wire.signCalls
  assert.ok(call !== undefined)
  wire.server.privateKeyAnswered(call.id + 1, new Uint8Array(70))
  wire.server.privateKeyFailed(call.id + 7)
  assert.equal(wire.error, undefined)
  wire.sign(call)
  wire.server.privateKeyAnswered(call.id, new Uint8Array(70))
  wire.server.privateKeyFailed(call.id, new Error('too late'))
  wire.run()
  assert.equal(wire.error, undefined)
  assert.equal(wire.establishedCount, 1)
  wire.server.privateKeyAnswered(call.id, new Uint8Array(70))
  wire.server.privateKeyFailed(call.id)
  wire.client.send(ascii('all is well'))
  wire.run()
  assert.equal(wire.received.length, 11)
})

test('row 41: an answer after the end is dropped', () => {
  const wire = new Wire({ signing: 'hold' }).start()
  const [call] = wire.signCalls
  assert.ok(call !== undefined)
  wire.server.transportEnded()
  assert.deepEqual(wire.cancelled, [call.id])
  const { length } = wire.writes
  wire.server.privateKeyAnswered(call.id, signatureFor(call.request))
  wire.server.privateKeyFailed(call.id)
  assert.equal(wire.writes.length, length)
  assert.equal(wire.closedCount, 1)
  assertOver(wire)
})

test('row 41: a signer that never answers: the shell ends the handshake, and the request is withdrawn', () => {
  for (const code of ['ERR_TLS_SIGNER_TIMEOUT', 'ERR_TLS_HANDSHAKE_TIMEOUT'] as const) {
    const wire = new Wire({ signing: 'hold' }).start()
    wire.server.fail(code)
    const alert = code === 'ERR_TLS_SIGNER_TIMEOUT' ? 'internal_error' : undefined
    assertRefused(wire.run(), alert, AFTER_HELLO)
    assert.equal(wire.cancelled.length, 1)
  }
})

test('close before the handshake is done drops it', () => {
  const wire = new Wire({ signing: 'hold' }).start()
  wire.server.close()
  wire.run()
  assert.equal(wire.closedCount, 1)
  assert.equal(wire.cancelled.length, 1)
  assertOver(wire)
})

test('row 43: a flood of input while the signature is waited for is bounded', () => {
  const wire = new Wire({ signing: 'hold' }).start()
  for (let count = 0; count < 1000 && wire.closedCount === 0; count++) wire.deliver(new Uint8Array(0))
  assert.equal(wire.closedCount, 0)
  for (let count = 0; count < 1000 && wire.closedCount === 0; count++) {
    wire.deliver(concat(u8(RECORD.ccs), Uint8Array.of(3, 3, 0, 1, 1)))
  }
  assert.equal(wire.closedCount, 1)
})

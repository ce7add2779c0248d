// A signer that has enough to do, and what goes out while it is waited for.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EarlyFlush, ServerContext } from '@latchkey/tls'
import { type ContextOptions, signatureFor, testContext, Wire, Wire12 } from './support/harness.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import { RawClient } from './support/raw-client.ts'
import { connectTls, event, startTls, until } from './support/socket-server.ts'

const VERSIONS = [
  ['TLS 1.3', (context: ServerContext) => new Wire({ context, signing: 'hold' }).start()],
  ['TLS 1.2', (context: ServerContext) => new Wire12({ context, signing: 'hold' }).start()],
] as const

for (const [name, start] of VERSIONS) {
  test(`signer load: over its cap a credential fails fast in ${name}, and nothing is asked`, () => {
    const context = testContext({ maxSignaturesPerKey: 2 })
    const waiting = [start(context), start(context)]
    const refused = start(context)
    assertRefused(refused, 'internal_error')
    assert.equal(refused.error?.code, 'ERR_TLS_SIGNER_BUSY')
    for (const wire of waiting) {
      for (const call of wire.signCalls) wire.sign(call)
      assertEstablished(wire.run())
    }
    assert.equal(start(context).signCalls.length, 1)
  })

  test(`signer load: a client of ${name} that goes, and a signature that fails, make room`, () => {
    const context = testContext({ maxSignatures: 1 })
    start(context).server.transportEnded()
    const failed = start(context)
    failed.server.privateKeyFailed(failed.signCalls[0]?.id ?? 0)
    assert.equal(failed.error?.code, 'ERR_TLS_SIGNER')
    assert.equal(start(context).signCalls.length, 1)
    assertRefused(start(context), 'internal_error')
  })
}

test('signer load: others, and who resumes, are served while one signer is over its cap', async () => {
  let isDown = false
  let unanswered = 0
  const answer = new Promise<Uint8Array>(() => {})
  await using server = await startTls((socket) => socket.end('served'), {
    kinds: ['p256', 'rsa2048'],
    maxSignaturesPerKey: 1,
    signer: {
      sign: (request) => {
        if (!isDown || request.scheme !== 0x0403) return signatureFor(request)
        unanswered++
        return answer
      },
    },
  })
  const client = await connectTls(server.port)
  const [session] = await event(client, 'session')
  isDown = true
  using waiting = new RawClient(server.port).hello()
  await until(() => unanswered === 1)
  using refused = new RawClient(server.port).hello()
  await refused.ended()
  assert.deepEqual(refused.alerts, ['internal_error'])
  assert.equal(server.failures[0]?.code, 'ERR_TLS_SIGNER_BUSY')
  const resumed = await connectTls(server.port, { session: session as Buffer })
  assert.equal(resumed.isSessionReused(), true)
  assert.equal(unanswered, 1)
  assert.notEqual(waiting.tls.state, 'connected')
  using other = new RawClient(server.port, { hello: { schemes: [0x0804] } })
  await other.connected()
})

// ── early flush ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** How much of the server's flight the client has before the signature. */
function beforeSignature(context: ServerContext, start: (typeof VERSIONS)[number][1]): number {
  const wire = start(context)
  const { length } = wire.output
  for (const call of wire.signCalls) wire.sign(call)
  assertEstablished(wire.run())
  return length
}

for (const [name, start] of VERSIONS) {
  for (const [earlyFlush, isEarly] of [
    ['always', true],
    ['never', false],
    ['auto', true], // nobody knows yet how quick the signer is
  ] satisfies [EarlyFlush, boolean][]) {
    test(`early flush of ${name}: ${earlyFlush}: the certificate ${isEarly ? 'goes before' : 'waits for'} the signature`, () => {
      const length = beforeSignature(testContext({ earlyFlush }), start)
      assert.equal(length > 500, isEarly, `${length} bytes`)
      assert.equal(length === 0, !isEarly, `${length} bytes`)
    })
  }

  test(`early flush of ${name}: a held flight takes fewer records and one write less`, () => {
    const count = (options: ContextOptions): number => {
      const wire = start(testContext(options))
      for (const call of wire.signCalls) wire.sign(call)
      return wire.writes.length
    }
    assert.deepEqual([count({ earlyFlush: 'always' }), count({ earlyFlush: 'never' })], [2, 1])
  })

  test(`early flush of ${name}: a failure behind a held flight is an alert the client understands`, () => {
    const wire = start(testContext({ earlyFlush: 'never' }))
    wire.server.privateKeyFailed(wire.signCalls[0]?.id ?? 0)
    wire.answered.add(wire.signCalls[0]?.id ?? 0)
    assertRefused(wire.run(), 'internal_error', { signCalls: 1, encrypted: name === 'TLS 1.3' })
  })
}

test('early flush: auto goes by the smoothed latency of the credential, both ways', () => {
  let now = 0
  const context = testContext({ earlyFlush: 'auto', monotonicClock: () => now })
  const isEarly = (signerMs: number): boolean => {
    const wire = new Wire({ context, signing: 'hold' }).start()
    const { length } = wire.output
    now += signerMs
    for (const call of wire.signCalls) wire.sign(call)
    assertEstablished(wire.run())
    return length > 0
  }
  assert.equal(isEarly(1), true, 'unknown')
  assert.equal(isEarly(2), false, 'quick')
  assert.equal(isEarly(2), false)
  assert.equal(isEarly(40), false, 'it was quick so far')
  assert.equal(isEarly(1), true, 'one slow answer counts an eighth: 5 ms')
  const answers = Array.from({ length: 20 }, () => isEarly(1))
  assert.equal(answers[0], true)
  assert.equal(answers.at(-1), false, 'quick again')
})

// TLS 1.2 under what no client sends: random steps lead to a connection in one order only, and random bytes end in a
// TlsError that is not a bug of ours.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TlsError } from '@latchkey/tls'
import { flipped, u8 } from './support/bytes.ts'
import { encodeHello, message } from './support/client-hello.ts'
import { MESSAGE, RECORD } from './support/code-points.ts'
import { testContext, Wire12 } from './support/harness.ts'
import { type Random, seededRandom } from './support/random.ts'
import { assertEstablished } from './support/outcome.ts'
import type { TestClient12 } from './support/test-client12.ts'

const context = testContext({ kinds: ['p256', 'rsa2048'] })

function checkEnd(wire: Wire12, input: string): void {
  assert.deepEqual(wire.lateEvents, [], input)
  if (wire.closedCount === 0) return
  assert.equal(wire.closedCount, 1, input)
  assert.ok(wire.error === undefined || wire.error instanceof TlsError, `${input}: ${String(wire.error)}`)
  assert.notEqual(wire.error?.code, 'ERR_TLS_INTERNAL', `${input}: ${wire.error?.stack}`)
}

// ── steps ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a client may say after ServerHelloDone, well formed each. */
const STEPS: Readonly<Record<string, (client: TestClient12) => unknown>> = {
  exchange: (client) => client.exchangeKeys(),
  ccs: (client) => client.changeCipherSpec(),
  'silent ccs': (client) => client.protectWrites(),
  finish: (client) => client.finish(),
  hello: (client) => client.record(RECORD.handshake, encodeHello(client.hello)),
  'key update': (client) => client.record(RECORD.handshake, message(MESSAGE.key_update, u8(0))),
  data: (client) => client.send(u8(1)),
  warning: (client) => client.alert(90, 1),
}

test('property b: of all orders of three steps of TLS 1.2 one leads to a connection', () => {
  const names = Object.keys(STEPS)
  const good: string[] = []
  for (const first of names) {
    for (const second of names) {
      for (const third of names) {
        const wire = new Wire12({ context, autoFinish: false }).start()
        const steps = [first, second, third]
        for (const step of steps) {
          // Finished before the keys are agreed: any twelve bytes.
          if (step === 'finish' && wire.client.transcript.length < 6)
            wire.client.record(RECORD.handshake, message(MESSAGE.finished, new Uint8Array(12)))
          else STEPS[step]?.(wire.client)
          wire.run()
        }
        checkEnd(wire, steps.join())
        if (wire.establishedCount > 0) good.push(steps.join())
      }
    }
  }
  assert.deepEqual(good, ['exchange,ccs,finish'])
})

// ── bytes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const RUNS = 1500

/** Some bits, bytes or a tail changed. */
function damaged(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes.length === 0) return bytes
  const at = random.below(bytes.length)
  const kind = random.below(4)
  if (kind === 0) return bytes.subarray(0, at)
  if (kind === 1) return Uint8Array.from([...bytes.subarray(0, at), ...random.bytes(random.below(40))])
  if (kind === 2) return Uint8Array.from([...bytes.subarray(0, at), random.below(256), ...bytes.subarray(at)])
  return flipped(bytes, at, 1 << random.below(8))
}

test(`property a: ${RUNS} TLS 1.2 handshakes with damage in one flight end with a TlsError, wait for more, or were not hurt`, () => {
  const random = seededRandom(0x5246)
  const codes = new Map<string, number>()
  for (let count = 0; count < RUNS; count++) {
    const wire = new Wire12({ context, autoFinish: false })
    const victim = random.below(4)
    const flights: ((client: TestClient12) => unknown)[] = [
      (client) => client.start(),
      (client) => client.exchangeKeys(),
      (client) => client.changeCipherSpec(),
      (client) => client.finish(),
    ]
    let input = ''
    for (const [index, flight] of flights.entries()) {
      if (wire.isClosed || (index > 0 && wire.client.state === 'server flight')) break
      flight(wire.client)
      const bytes = wire.client.take()
      const sent = index === victim ? damaged(bytes, random) : bytes
      input = `run ${count}, flight ${index}: ${Buffer.from(sent).toString('hex')}`
      wire.deliver(sent)
      // A server that took another hello than the client sent: the client would hang up.
      if (victim === 0) break
      wire.run()
    }
    checkEnd(wire, input)
    const code = wire.error?.code ?? (wire.establishedCount > 0 ? 'established' : 'open')
    codes.set(code, (codes.get(code) ?? 0) + 1)
  }
  // The damage must reach every layer, or it proves little.
  for (const code of [
    'ERR_TLS_DECODE',
    'ERR_TLS_ILLEGAL_PARAMETER',
    'ERR_TLS_UNEXPECTED_MESSAGE',
    'ERR_TLS_BAD_RECORD_MAC',
    'ERR_TLS_PROTOCOL_VERSION',
    'open',
  ]) {
    assert.ok((codes.get(code) ?? 0) > 10, `${code}: ${codes.get(code)}`)
  }
})

test(`property a: ${RUNS} random records in each state of TLS 1.2 end with a TlsError or wait for more`, () => {
  const random = seededRandom(0x5289)
  for (let count = 0; count < RUNS; count++) {
    const wire = new Wire12({ context, autoFinish: false }).start()
    const steps = random.below(4)
    if (steps > 0) wire.client.exchangeKeys()
    if (steps > 1) wire.client.changeCipherSpec()
    if (steps > 2) wire.client.finish()
    wire.run()
    const type = random.pick([20, 21, 22, 22, 23, random.below(256)])
    const content = random.bytes(random.below(60))
    if (random.below(2) === 0) wire.client.record(type, content)
    else wire.client.plain(type, content, random.below(3) === 0 ? random.below(0x10000) : 0x0303)
    const bytes = wire.client.take()
    wire.deliver(random.below(3) === 0 ? damaged(bytes, random) : bytes)
    wire.run()
    checkEnd(wire, `run ${count}, after ${steps} steps: ${Buffer.from(bytes).toString('hex')}`)
  }
})

test('a connection is not hurt by what another one got', () => {
  const random = seededRandom(0x7627)
  const good = new Wire12({ context, autoFinish: false }).start()
  for (let count = 0; count < 20; count++) {
    const bad = new Wire12({ context }).start()
    bad.deliver(random.bytes(100))
    assert.ok(bad.isClosed)
  }
  good.client.exchangeKeys().changeCipherSpec().finish()
  assertEstablished(good.run())
})

// Whatever order a client's messages come in, each sound by itself: a connection comes of two orders only.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat, u8, vector24 } from './support/bytes.ts'
import { encodeHello, message } from './support/client-hello.ts'
import { GROUP, MESSAGE, RECORD } from './support/code-points.ts'
import { Wire } from './support/harness.ts'
import { seededRandom } from './support/random.ts'
import type { TestClient } from './support/test-client.ts'

/** Under the keys of the moment, if there are any. */
function say(client: TestClient, type: number, bytes: Uint8Array): void {
  if (client.writeKeys === undefined) client.plain(type, bytes)
  else client.seal(type, bytes)
}

const STEPS: Readonly<Record<string, (client: TestClient) => void>> = {
  hello: (client) => {
    const isDue = client.writeKeys === undefined && client.transcript.length < (client.retries > 0 ? 3 : 1)
    say(client, RECORD.handshake, isDue ? client.noteHello() : encodeHello(client.hello))
  },
  finished: (client) => {
    if (client.state === 'finished') client.finish()
    else say(client, RECORD.handshake, message(MESSAGE.finished, new Uint8Array(32)))
  },
  'key update': (client) => {
    say(client, RECORD.handshake, message(MESSAGE.key_update, u8(0)))
    if (client.state === 'connected') client.writeKeys = client.writer.next()
  },
  certificate: (client) =>
    say(client, RECORD.handshake, message(MESSAGE.certificate, concat(u8(0), vector24()))),
  data: (client) => say(client, RECORD.data, u8(1)),
}
/** Legal from the first hello to Finished, and of no meaning. */
const CHANGE_CIPHER_SPEC = 'change_cipher_spec'

/** The steps up to the one that connected; undefined: none did. */
function orderThatConnects(shares: readonly number[], steps: readonly string[]): string | undefined {
  const wire = new Wire({ shares, autoRetry: false, autoFinish: false })
  for (const [index, step] of steps.entries()) {
    if (step === CHANGE_CIPHER_SPEC) wire.client.changeCipherSpec()
    else STEPS[step]?.(wire.client)
    wire.run()
    if (wire.establishedCount > 0)
      return steps
        .slice(0, index + 1)
        .filter((name) => name !== CHANGE_CIPHER_SPEC)
        .join()
    if (wire.isClosed) return undefined
  }
  return undefined
}

const WITH_SHARE = [GROUP.x25519]
const LEGAL = new Map([
  [WITH_SHARE, 'hello,finished'],
  [[], 'hello,hello,finished'],
])

/** All orders of `length` of `names`. */
function* orders(names: readonly string[], length: number): Generator<string[]> {
  if (length === 0) yield []
  else for (const rest of orders(names, length - 1)) for (const name of names) yield [...rest, name]
}

test('property b: of all orders of four messages the two legal ones connect', () => {
  for (const [shares, legal] of LEGAL) {
    const good = new Set<string>()
    for (const steps of orders(Object.keys(STEPS), 4)) good.add(orderThatConnects(shares, steps) ?? '')
    assert.deepEqual([...good].toSorted(), ['', legal])
  }
})

test('property b: of random orders, change_cipher_spec among them, the two legal ones connect', () => {
  const random = seededRandom(0x0b)
  const names = [...Object.keys(STEPS), 'hello', 'finished', CHANGE_CIPHER_SPEC, CHANGE_CIPHER_SPEC]
  for (const [shares, legal] of LEGAL) {
    let connected = 0
    for (let count = 0; count < 300; count++) {
      const steps = ['hello', ...Array.from({ length: 1 + random.below(7) }, () => random.pick(names))]
      const order = orderThatConnects(shares, steps)
      if (order === undefined) continue
      connected++
      assert.equal(order, legal, steps.join())
    }
    assert.ok(connected > 2, `${connected} of 300`)
  }
})

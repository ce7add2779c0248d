// Mutated hellos to this engine and to node:tls. 100,000 of them: node scripts/soak.ts 'property c'.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareHellos, NodeServer } from './support/differential-hellos.ts'
import { seededRandom } from './support/random.ts'

const HELLOS = 2000

test(`property c: ${HELLOS} mutated hellos, and node:tls and the engine choose the same or refuse alike`, async () => {
  await using node = await NodeServer.listen()
  const result = await compareHellos(node, seededRandom(0x0c), HELLOS)
  const text = JSON.stringify(result)
  // Mutations must leave enough to agree on, and the exceptions must stay exceptions.
  assert.ok(result.sameChoice > HELLOS / 10, text)
  assert.ok(result.sameChoice + result.sameAlert + result.sameClass > HELLOS * 0.85, text)
  assert.ok(result.stricter < HELLOS * 0.04, text)
  assert.ok(result.passedOver < HELLOS * 0.02, text)
})

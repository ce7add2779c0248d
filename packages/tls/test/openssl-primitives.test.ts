// Handshakes and data with the primitives that go through the FFI; all of this is synchronous, so that no other test sees them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Primitives, usePrimitives } from '../src/crypto-provider.ts'
import { openSslPrimitives } from '../src/openssl/openssl-primitives.ts'
import { GROUP, SUITE } from './support/code-points.ts'
import { Wire } from './support/harness.ts'
import { assertEstablished } from './support/outcome.ts'

const primitives = openSslPrimitives()
const options = { skip: primitives === undefined ? 'this Node has no node:ffi' : false }

for (const [name, suite] of Object.entries(SUITE)) {
  test(`a handshake and data with ${name} through the FFI`, options, () => {
    const groups = [GROUP.x25519]
    const seals: number[] = []
    const ours = primitives as Primitives
    const before = usePrimitives({
      ...ours,
      seal(...parameters) {
        seals.push(parameters[4])
        ours.seal(...parameters)
      },
    })
    try {
      const wire = new Wire({ shares: groups, hello: { suites: [suite], groups } }).start()
      assertEstablished(wire)
      wire.server.send([new Uint8Array(40_000).fill(5)])
      wire.run()
      assert.equal(wire.error, undefined)
      assert.ok(seals.includes(16_385))
    } finally {
      usePrimitives(before)
    }
  })
}

// The hot code is made hot by real handshakes, and nothing of it stays.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { warmUp } from '@latchkey/tls'

test('warm-up: handshakes of every kind come to their end, and it ends', async () => {
  const { handshakes, ms } = await warmUp({ handshakes: 16, timeoutMs: 60_000 })
  assert.equal(handshakes, 16)
  assert.ok(ms < 60_000)
})

test('warm-up: no handshake is begun after timeoutMs', async () => {
  const { handshakes } = await warmUp({ handshakes: 100_000, timeoutMs: 50 })
  assert.ok(handshakes < 1000, `${handshakes} handshakes`)
})

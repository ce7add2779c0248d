// How long the server's records are: record_size_limit (RFC 8449) and padding (RFC 8446 §5.4).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toMultipleOf } from '@latchkey/tls'
import { concat, toHex, u16, u8 } from './support/bytes.ts'
import type { Extension } from './support/client-hello.ts'
import { EXTENSION, GROUP, RECORD } from './support/code-points.ts'
import { establishedWire, testContext, Wire, Wire12 } from './support/harness.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import { defaultHello12 } from './support/test-client12.ts'

const limit = (bytes: number): Extension => ({ type: EXTENSION.record_size_limit, body: u16(bytes) })

const LIMITS = [64, 65, 512, 16_384, 16_385, 65_535]

for (const bytes of LIMITS) {
  for (const retried of [false, true]) {
    test(`record_size_limit ${bytes}${retried ? ' through a HelloRetryRequest' : ''}: no record is longer`, () => {
      const wire = new Wire({
        hello: { extra: [limit(bytes)], groups: [GROUP.x25519] },
        ...(retried ? { shares: [] } : {}),
      }).start()
      assertEstablished(wire)
      // Ours: all that TLS 1.3 allows, the content type counted.
      assert.equal(toHex(wire.client.encryptedExtensions.get(EXTENSION.record_size_limit) ?? u8(0)), '4001')
      const data = new Uint8Array(40_000).fill(0x61)
      wire.server.send([data])
      wire.run()
      const protectedRecords = wire.client.records.filter(({ outerType }) => outerType === RECORD.data)
      const inner = protectedRecords.map(({ content, padding }) => content.length + 1 + padding)
      assert.equal(Math.max(...inner), Math.min(bytes, 16_385))
      assert.equal(toHex(wire.client.received), toHex(concat(Buffer.from('pong'), data)))
    })
  }
}

for (const bytes of LIMITS) {
  test(`TLS 1.2, record_size_limit ${bytes}: no protected record is longer`, () => {
    const extra = [...defaultHello12().extra, limit(bytes)]
    const wire = new Wire12({ hello: { extra } }).start()
    assertEstablished(wire)
    assert.equal(toHex(wire.client.extensions.get(EXTENSION.record_size_limit) ?? u8(0)), '4000')
    wire.server.send([new Uint8Array(40_000)])
    wire.run()
    assert.equal(Math.max(...wire.client.contentBytes), Math.min(bytes, 16_384))
    assert.equal(wire.client.received.length, 40_004)
  })
}

test('record_size_limit below 64 is refused', () => {
  assertRefused(new Wire({ hello: { extra: [limit(63)] } }).start(), 'illegal_parameter')
})

test('without record_size_limit ours is not said', () => {
  assert.equal(establishedWire().client.encryptedExtensions.has(EXTENSION.record_size_limit), false)
})

test('dynamic sizing: a packet a record at first and after a silence, then full records', () => {
  let nowMs = 0
  const context = testContext({ recordSizing: 'dynamic', monotonicClock: () => nowMs })
  const wire = establishedWire({ context })
  const sizesOf = (bytes: number): number[] => {
    const before = wire.client.records.length
    wire.server.send([new Uint8Array(bytes)])
    wire.run()
    const data = wire.client.records.slice(before).filter(({ innerType }) => innerType === RECORD.data)
    return data.map(({ content }) => content.length)
  }
  const small = Array.from({ length: 16 }, () => 1369)
  assert.deepEqual(sizesOf(16 * 1369 + 20_000), [...small, 16_384, 3616])
  nowMs = 1001
  assert.deepEqual(sizesOf(1369 + 1), [1369, 1])
})

test('padding hides how long handshake messages and data are', () => {
  const context = testContext({ padding: toMultipleOf(1024) })
  const wire = establishedWire({ context })
  wire.server.send([Uint8Array.of(1)])
  wire.server.send([new Uint8Array(1025)])
  wire.server.send([new Uint8Array(16_384)])
  wire.server.close()
  wire.run()
  const sizes = wire.client.records
    .filter(({ outerType }) => outerType === RECORD.data)
    .map(({ content, padding }) => content.length + padding)
  assert.ok(
    sizes.every((size) => size % 1024 === 0),
    sizes.join(),
  )
  assert.deepEqual(sizes.slice(-4), [1024, 2048, 16_384, 1024])
  assert.equal(wire.client.received.length, 1 + 1025 + 16_384)
})

test('padding keeps to the limit of the client', () => {
  const context = testContext({ padding: toMultipleOf(1024) })
  const wire = establishedWire({ context, hello: { extra: [limit(100)] } })
  wire.server.send([new Uint8Array(250)])
  wire.run()
  const last = wire.client.records.slice(-3).map(({ content, padding }) => [content.length, padding])
  assert.deepEqual(last, [
    [99, 0],
    [99, 0],
    [52, 47],
  ])
})

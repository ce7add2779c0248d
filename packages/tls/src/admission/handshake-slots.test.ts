import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HandshakeSlots } from './handshake-slots.ts'

test('one source cannot take every place', () => {
  const slots = new HandshakeSlots({ total: 10, perSource: 3 })
  const taken = Array.from({ length: 5 }, (_, index) => slots.take(`2001:db8::${index}`))
  assert.deepEqual(
    taken.map((release) => release !== undefined),
    [true, true, true, false, false],
  )
  assert.ok(slots.take('192.0.2.1') !== undefined)
  taken[0]?.()
  taken[0]?.() // twice is harmless
  assert.ok(slots.take('2001:db8::9') !== undefined)
  assert.equal(slots.take('2001:db8::9'), undefined)
})

test('the total holds for all, loopback included', () => {
  const slots = new HandshakeSlots({ total: 4, perSource: 2 })
  const local = [1, 2, 3].map(() => slots.take('127.0.0.1'))
  assert.ok(
    local.every((release) => release !== undefined),
    'loopback has no share of its own',
  )
  assert.ok(slots.take(undefined) !== undefined)
  assert.equal(slots.take('192.0.2.1'), undefined)
  local[0]?.()
  assert.ok(slots.take('192.0.2.1') !== undefined)
})

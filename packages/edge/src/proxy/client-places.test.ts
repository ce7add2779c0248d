import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClientPlaces, clientOf } from './client-places.ts'

for (const [address, client] of [
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8:1:2::6', '2001:db8:1:2'],
  ['2001:db8::6', '2001:db8:0:0'],
  ['2001:db8:1::4:5:6:7', '2001:db8:1:0'],
  ['::2:3:4:5:6:7', '0:0:2:3'],
  ['2001:db8::', '2001:db8:0:0'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['64:ff9b:1:2::192.0.2.1', '64:ff9b:1:2'],
  ['::192.0.2.1', '0:0:0:0'],
  [undefined, ''],
] as const) {
  test(`client places: ${address} counts as ${client}`, () => assert.equal(clientOf(address), client))
}

test('client places: one client, one limit; what is given back can be taken, and nothing is remembered', () => {
  const places = new ClientPlaces(2)
  const first = places.claim('2001:db8::1')
  const second = places.claim('2001:db8::2')
  assert.ok(first !== undefined && second !== undefined)
  assert.equal(places.claim('2001:db8::3'), undefined, 'another address of the same /64')
  const other = places.claim('2001:db8:0:1::1')
  assert.ok(other !== undefined)
  first()
  const third = places.claim('2001:db8::3')
  assert.ok(third !== undefined)
  assert.equal(places.claim('2001:db8::1'), undefined)
  for (const release of [second, third, other]) release()
  assert.equal(places.size, 0)
})

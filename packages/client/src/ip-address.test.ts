import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { ipAddressBytes } from './ip-address.ts'

const ADDRESSES: readonly [text: string, hex: string | undefined][] = [
  ['192.0.2.1', 'c0000201'],
  ['255.255.255.255', 'ffffffff'],
  ['::', '00000000000000000000000000000000'],
  ['::1', '00000000000000000000000000000001'],
  ['1::', '00010000000000000000000000000000'],
  ['2001:db8::1', '20010db8000000000000000000000001'],
  ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
  ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
  ['1:2:3:4:5:6:192.0.2.1', '000100020003000400050006c0000201'],
  ['64:ff9b::192.0.2.1', '0064ff9b0000000000000000c0000201'],
  ['fe80::1%eth0', 'fe800000000000000000000000000001'],
  ['', undefined],
  ['localhost', undefined],
  ['192.0.2', undefined],
  ['192.0.2.256', undefined],
  ['192.0.2.1:443', undefined],
  ['[::1]', undefined],
  ['1::2::3', undefined],
]

for (const [text, hex] of ADDRESSES) {
  test(`address ${JSON.stringify(text)}`, () => assert.equal(ipAddressBytes(text)?.toHex(), hex))
}

test('any IPv6 address, written with or without its zeros left out', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0, 0, 0, 1, 0xabcd), { minLength: 8, maxLength: 8 }), (groups) => {
      const text = groups.map((group) => group.toString(16)).join(':')
      const expected = groups.map((group) => group.toString(16).padStart(4, '0')).join('')
      assert.equal(ipAddressBytes(text)?.toHex(), expected)
      // The URL parser writes the shortest form (RFC 5952).
      const shortest = new URL(`http://[${text}]/`).hostname.slice(1, -1)
      assert.equal(ipAddressBytes(shortest)?.toHex(), expected)
    }),
  )
})

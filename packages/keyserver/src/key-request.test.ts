import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ipText } from './key-request.ts'

/** RFC 5952 §4 and its examples. */
const ADDRESSES: readonly [string, string][] = [
  ['c0000201', '192.0.2.1'],
  ['00000000', '0.0.0.0'],
  ['20010db8000000000000000000000001', '2001:db8::1'],
  ['00000000000000000000000000000000', '::'],
  ['00000000000000000000000000000001', '::1'],
  ['fe800000000000000000000000000000', 'fe80::'],
  ['20010db8000100010001000100010001', '2001:db8:1:1:1:1:1:1'],
  ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
  ['20010000000000010000000000000001', '2001:0:0:1::1'],
  ['20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
  ['00100000000000000000000000000010', '10::10'],
]
for (const [bytes, text] of ADDRESSES) {
  test(`address ${bytes} is written ${text}`, () => {
    assert.equal(ipText(Uint8Array.fromHex(bytes)), text)
  })
}

test('no address is no text', () => {
  assert.equal(ipText(undefined), '')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decimal, hostAndPort } from './client.ts'

const PEERS: readonly [string | undefined, number | undefined, string][] = [
  ['192.0.2.1', 4711, '192.0.2.1:4711'],
  ['2001:db8::1', 4711, '[2001:db8::1]:4711'],
  ['::ffff:192.0.2.1', 4711, '192.0.2.1:4711'],
  ['::ffff:c000:201', 4711, '[::ffff:c000:201]:4711'],
  ['::', 2407, '[::]:2407'],
  [undefined, undefined, 'unknown'],
]
for (const [address, port, text] of PEERS) {
  test(`${address} port ${port} is written ${text}`, () => assert.equal(hostAndPort(address, port), text))
}

const SERIALS: readonly [string, string][] = [
  ['0A', '10'],
  ['FFFFFFFFFFFFFFFFFF', '4722366482869645213695'],
  ['-0A', '-10'],
  ['', ''],
  ['x', ''],
]
for (const [hex, text] of SERIALS) {
  test(`serial number ${JSON.stringify(hex)} is ${JSON.stringify(text)}`, () =>
    assert.equal(decimal(hex), text))
}

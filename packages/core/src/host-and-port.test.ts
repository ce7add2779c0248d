import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostAndPort } from './host-and-port.ts'

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

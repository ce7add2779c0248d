import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decimal } from './client.ts'

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

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SignatureChecks } from './signature-checks.ts'

/** How many of so many signatures are verified. */
function due(checks: SignatureChecks, count: number, keyType = 'ec'): number {
  return Array.from({ length: count }, () => checks.isDue(keyType)).filter(Boolean).length
}

test('the first ECDSA signature is verified, then one in 64; RSA signatures all are', () => {
  const checks = new SignatureChecks(() => 0)
  assert.equal(due(checks, 1), 1)
  assert.equal(due(checks, 63), 0)
  assert.equal(due(checks, 64), 1)
  assert.equal(due(checks, 100, 'rsa'), 100)
  assert.equal(due(checks, 64 * 50, 'ed25519'), 50)
})

test('after a wrong signature every one is verified for 60 s, however many come', () => {
  let now = 5000
  const checks = new SignatureChecks(() => now)
  due(checks, 1)
  checks.foundWrong()
  now += 59_999
  assert.equal(due(checks, 1000), 1000)
  now += 1
  assert.equal(due(checks, 63), 0)
  assert.equal(due(checks, 1), 1)
})

test('another wrong signature starts the 60 s again', () => {
  let now = 0
  const checks = new SignatureChecks(() => now)
  due(checks, 1)
  checks.foundWrong()
  now += 40_000
  checks.foundWrong()
  now += 59_999
  assert.equal(due(checks, 10), 10)
})

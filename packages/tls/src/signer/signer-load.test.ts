import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Credential } from '../credential/credential.ts'
import { SignerLoad } from './signer-load.ts'

// Only their identity counts.
const a = {} as Credential
const b = {} as Credential

test('a credential has so many signatures under way and no more; others have theirs', () => {
  const load = new SignerLoad({ maxPerCredential: 2, maxTotal: 10, clock: () => 0 })
  const ends = [load.begin(a), load.begin(a)]
  assert.ok(load.isFull(a) && !load.isFull(b))
  ends[0]?.(true)
  ends[0]?.(true) // twice is harmless
  assert.ok(!load.isFull(a))
  load.begin(a)
  assert.ok(load.isFull(a))
  ends[1]?.(false)
  assert.ok(!load.isFull(a))
})

test('the total holds for all credentials', () => {
  const load = new SignerLoad({ maxPerCredential: 2, maxTotal: 3, clock: () => 0 })
  const end = load.begin(a)
  load.begin(b)
  assert.ok(!load.isFull(a))
  load.begin(b)
  assert.ok(load.isFull(a) && load.isFull(b))
  end(false)
  assert.ok(!load.isFull(a))
})

test('latency is smoothed, for each credential, and of signatures that came', () => {
  let now = 0
  const load = new SignerLoad({ maxPerCredential: 9, maxTotal: 9, clock: () => now })
  const takes = (credential: Credential, ms: number, isAnswered = true): void => {
    const end = load.begin(credential)
    now += ms
    end(isAnswered)
  }
  assert.equal(load.latencyMs(a), undefined)
  takes(a, 3000, false)
  assert.equal(load.latencyMs(a), undefined)
  takes(a, 8)
  assert.equal(load.latencyMs(a), 8)
  takes(a, 0)
  assert.equal(load.latencyMs(a), 7)
  for (let count = 0; count < 100; count++) takes(a, 1)
  assert.ok(Math.abs((load.latencyMs(a) as number) - 1) < 0.01)
  assert.equal(load.latencyMs(b), undefined)
})

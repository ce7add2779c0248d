// A short fuzz run on every test run; scripts do the long ones.
import assert from 'node:assert/strict'
import test from 'node:test'
import { fuzzFramer, runFuzz } from '../src/fuzz.ts'
import { ENCODED } from './golden.ts'

test('20,000 mutations of golden packets give values or KeylessErrors', () => {
  const corpus = ENCODED.map(({ hex }) => Uint8Array.fromHex(hex)).filter(({ length }) => length < 2000)
  assert.equal(runFuzz({ count: 20_000, seed: 1, corpus }).count, 20_000)
})

test('the same seed gives the same inputs', () => {
  assert.deepEqual(runFuzz({ count: 200, seed: 7 }), runFuzz({ count: 200, seed: 7 }))
  assert.notDeepEqual(runFuzz({ count: 200, seed: 7 }), runFuzz({ count: 200, seed: 8 }))
})

test('a defect is reported with its input', () => {
  const defect = new RangeError('defect')
  const target = (bytes: Uint8Array): void => {
    fuzzFramer(bytes)
    if (bytes.includes(0x15)) throw defect
  }
  assert.throws(
    () => runFuzz({ count: 100, seed: 1, target }),
    (error) => error instanceof Error && error.cause === defect && error.message.includes('15'),
  )
})

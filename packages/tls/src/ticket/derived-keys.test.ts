import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DerivedKeys } from './derived-keys.ts'

const ROOT = Uint8Array.of(1, 2, 3, 4)
const OTHER_ROOT = Uint8Array.of(4, 3, 2, 1)
const key = (): Uint8Array => new Uint8Array(32).fill(7)
const isWiped = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)

test('over the limit the key that was used least recently goes, wiped', () => {
  const keys = new DerivedKeys(2)
  const [a, b, c] = [key(), key(), key()]
  keys.add('a', ROOT, a)
  keys.add('b', ROOT, b)
  assert.equal(keys.get('a'), a)
  keys.add('c', ROOT, c)
  assert.equal(keys.size, 2)
  assert.deepEqual([keys.get('a'), keys.get('b'), keys.get('c')], [a, undefined, c])
  assert.deepEqual([a, b, c].map(isWiped), [false, true, false])
})

test('retain drops and wipes the keys of roots that are gone', () => {
  const keys = new DerivedKeys(3)
  const [a, b] = [key(), key()]
  keys.add('a', ROOT, a)
  keys.add('b', OTHER_ROOT, b)
  keys.retain((rootId) => rootId[0] === 1)
  assert.deepEqual([keys.get('a'), keys.get('b'), keys.size], [a, undefined, 1])
  assert.deepEqual([a, b].map(isWiped), [false, true])
})

for (const limit of [0, -1, 1.5, Number.NaN]) {
  test(`a limit of ${limit} is refused`, () => {
    assert.throws(() => new DerivedKeys(limit), RangeError)
  })
}

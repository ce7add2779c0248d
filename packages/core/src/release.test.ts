import assert from 'node:assert/strict'
import { test } from 'node:test'
import { release } from './release.ts'

const isFreed = ({ buffer }: Uint8Array): boolean => buffer instanceof ArrayBuffer && buffer.detached

test('release frees an array that is all of its buffer', () => {
  const array = new Uint8Array(4096)
  const buffer = Buffer.allocUnsafeSlow(65_536)
  release(array)
  release(buffer)
  assert.ok(isFreed(array) && isFreed(buffer))
  assert.equal(array.length, 0)
  release(array) // twice is harmless
})

for (const [name, bytes] of [
  ['a view of the end', new Uint8Array(new ArrayBuffer(8192), 4096)],
  ['a view of the beginning', new Uint8Array(new ArrayBuffer(8192), 0, 4096)],
  ['a slice of a Buffer', Buffer.alloc(16_384).subarray(1)],
  ['a Buffer out of the pool', Buffer.from('x'.repeat(1000))],
  ['shared memory', new Uint8Array(new SharedArrayBuffer(4096))],
  ['what is too small to be worth it', new Uint8Array(4095)],
] as const) {
  test(`release leaves ${name} alone`, () => {
    const { length } = bytes
    bytes.fill(7)
    release(bytes)
    assert.equal(isFreed(bytes), false)
    assert.equal(bytes.length, length)
    assert.ok(bytes.every((byte) => byte === 7))
  })
}

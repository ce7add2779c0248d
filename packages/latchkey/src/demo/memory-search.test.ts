import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  countInRegions,
  MemorySearchError,
  type ReadMemory,
  readRegions,
  searchProcessMemory,
} from './memory-search.ts'
import { privateKeyNeedles } from './private-key-needles.ts'

/** Memory that starts at `base`; reads stop at its end and, as the kernel may, at `most` bytes. */
function fakeMemory(base: number, bytes: Uint8Array, most = Infinity): ReadMemory {
  return (buffer, address) => {
    const part = bytes.subarray(
      address - base,
      Math.min(address - base + buffer.length, address - base + most),
    )
    buffer.set(part)
    return Promise.resolve(part.length)
  }
}

test('memory search: each place counts once, however the chunks lie', async () => {
  const needle = Uint8Array.of(7, 7, 7, 7)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(0, 7), { maxLength: 200 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 40 }),
      async (bytes, chunkBytes, most) => {
        const memory = Uint8Array.from(bytes)
        let expected = 0
        for (let at = 0; at + 4 <= memory.length; at++)
          if (memory.subarray(at, at + 4).every((byte) => byte === 7)) expected++
        const regions = [{ start: 1000, end: 1000 + memory.length }]
        const found = await countInRegions(
          fakeMemory(1000, memory, most),
          regions,
          [needle, Uint8Array.of(9, 9)],
          chunkBytes,
        )
        assert.deepEqual(found, [expected, 0])
      },
    ),
  )
})

test('memory search: regions that touch are one, regions apart are two', async () => {
  const memory = Uint8Array.of(1, 2, 3, 4, 5, 6)
  const read = fakeMemory(100, memory)
  const needle = Uint8Array.of(3, 4)
  assert.deepEqual(
    await countInRegions(
      read,
      [
        { start: 100, end: 103 },
        { start: 103, end: 106 },
      ],
      [needle],
    ),
    [1],
  )
  assert.deepEqual(
    await countInRegions(
      read,
      [
        { start: 100, end: 103 },
        { start: 104, end: 106 },
      ],
      [needle],
    ),
    [0],
  )
})

test('memory search: what cannot be read separates', async () => {
  const read: ReadMemory = (buffer, address) => {
    if (address === 104) return Promise.resolve(0)
    buffer.fill(1)
    return Promise.resolve(buffer.length)
  }
  assert.deepEqual(await countInRegions(read, [{ start: 100, end: 112 }], [Uint8Array.of(1, 1, 1)], 4), [4])
})

test('memory search: the regions of a maps file that a program can write to', () => {
  const maps = [
    '55d0c0a00000-55d0c0a21000 r--p 00000000 08:01 131 /usr/bin/node',
    '7f1c20000000-7f1c20021000 rw-p 00000000 00:00 0 ',
    '7f1c20021000-7f1c24000000 ---p 00000000 00:00 0 ',
    '7ffd1d000000-7ffd1d021000 rw-p 00000000 00:00 0                          [stack]',
    'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]',
    '',
  ].join('\n')
  assert.deepEqual(readRegions(maps), [
    { start: 0x7f1c20000000, end: 0x7f1c20021000 },
    { start: 0x7ffd1d000000, end: 0x7ffd1d021000 },
  ])
})

const isLinux = process.platform === 'linux'

test('memory search finds what another process holds, and nothing that it does not', {
  skip: !isLinux,
}, async () => {
  const held = randomBytes(32)
  const notHeld = randomBytes(32)
  const program =
    'process.stdin.once("data", (bytes) => { globalThis.held = Buffer.from(bytes); console.log("ready") })'
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] })
  try {
    child.stdin.write(held)
    await once(child.stdout, 'data')
    const [found = 0, ...others] = await searchProcessMemory(child.pid as number, [held, notHeld])
    assert.ok(found >= 1)
    assert.deepEqual(others, [0])
  } finally {
    child.kill()
  }
})

test('memory search: a process that is not there', { skip: !isLinux }, async () => {
  await assert.rejects(searchProcessMemory(2 ** 22 + 1, [randomBytes(32)]), (error) => {
    return error instanceof MemorySearchError && error.code === 'ERR_MEMORY_SEARCH_NO_PROCESS'
  })
})

test('memory search refuses a needle that chance would find', async () => {
  await assert.rejects(searchProcessMemory(process.pid, [Uint8Array.of(1, 2)]), RangeError)
})

test('needles of an EC key: its scalar in both orders', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const [big, little, ...rest] = privateKeyNeedles(privateKey)
  const jwk = privateKey.export({ format: 'jwk' })
  assert.equal(
    Buffer.from(big ?? []).toString('hex'),
    BigInt(`0x${Buffer.from(jwk.d ?? '', 'base64url').toString('hex')}`)
      .toString(16)
      .padStart((big?.length ?? 0) * 2, '0'),
  )
  assert.deepEqual(little, Uint8Array.from(big ?? []).toReversed())
  assert.equal(rest.length, 0)
})

test('needles of an RSA key: exponent and both primes', () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const needles = privateKeyNeedles(createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' })))
  assert.deepEqual(
    needles.map(({ length }) => length > 120),
    [true, true, true, true, true, true],
  )
})

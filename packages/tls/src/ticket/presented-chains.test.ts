import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { PresentedChains, type PresentedChainsOptions } from './presented-chains.ts'
import { TICKET_LIFETIME_SECONDS } from './ticket-keys.ts'

const LIFETIME = TICKET_LIFETIME_SECONDS * 1000

function chainsAt(time: { now: number }, options: Partial<PresentedChainsOptions> = {}): PresentedChains {
  return new PresentedChains({ clock: () => time.now, ...options })
}

/** One certificate, known by its first byte. */
const chain = (first: number, length = 100): Uint8Array[] => [new Uint8Array(length).fill(first)]

test('a chain is found by the hash of its certificates and their lengths, certificate by certificate', () => {
  const chains = chainsAt({ now: 0 })
  const certificate = fc.uint8Array({ minLength: 1, maxLength: 300 })
  fc.assert(
    fc.property(fc.array(certificate, { minLength: 1, maxLength: 10 }), (presented) => {
      const hash = chains.remember(presented)
      const encoded = presented.flatMap((der) => [0, der.length >> 8, der.length & 0xff, ...der])
      assert.deepEqual(Buffer.from(hash), createHash('sha256').update(Uint8Array.from(encoded)).digest())
      assert.deepEqual(chains.find(hash), presented)
    }),
    { numRuns: 50 },
  )
  assert.equal(chains.find(new Uint8Array(32)), undefined)
})

test('the same bytes cut in another place are another chain', () => {
  const chains = chainsAt({ now: 0 })
  const one = chains.remember([Uint8Array.of(1, 2), Uint8Array.of(3)])
  const other = chains.remember([Uint8Array.of(1), Uint8Array.of(2, 3)])
  assert.notDeepEqual(one, other)
})

test('what is kept is nobody else’s', () => {
  const chains = chainsAt({ now: 0 })
  const presented = chain(1)
  const hash = chains.remember(presented)
  presented[0]?.fill(2)
  chains.find(hash)?.[0]?.fill(3)
  assert.deepEqual(chains.find(hash), chain(1))
})

test('a chain is kept as long as a ticket lives, counted from the last', () => {
  const time = { now: 1000 }
  const chains = chainsAt(time)
  const hash = chains.remember(chain(1))
  time.now += LIFETIME
  assert.deepEqual(chains.find(hash), chain(1))
  chains.remember(chain(1))
  assert.deepEqual([chains.size, chains.bytes], [1, 103])
  time.now += LIFETIME
  assert.deepEqual(chains.find(hash), chain(1))
  time.now += 1
  assert.equal(chains.find(hash), undefined)
  // The next one clears it away.
  chains.remember(chain(2))
  assert.deepEqual([chains.size, chains.bytes], [1, 103])
})

test('beyond the count the chain of the oldest ticket goes', () => {
  const chains = chainsAt({ now: 0 }, { maxChains: 2 })
  const [one, two] = [chains.remember(chain(1)), chains.remember(chain(2))]
  chains.remember(chain(1))
  const three = chains.remember(chain(3))
  assert.deepEqual(
    [one, two, three].map((hash) => chains.find(hash)),
    [chain(1), undefined, chain(3)],
  )
  assert.deepEqual([chains.size, chains.bytes], [2, 206])
})

test('beyond the bytes as many go as it takes', () => {
  const chains = chainsAt({ now: 0 }, { maxBytes: 1000 })
  const small = [1, 2, 3].map((first) => chains.remember(chain(first, 297)))
  assert.equal(chains.bytes, 900)
  const large = chains.remember(chain(4, 597))
  assert.deepEqual([chains.size, chains.bytes], [2, 900])
  assert.deepEqual(
    small.map((hash) => chains.find(hash) !== undefined),
    [false, false, true],
  )
  assert.deepEqual(chains.find(large), chain(4, 597))
  // One that is too large alone is not kept at all.
  const huge = chains.remember(chain(5, 998))
  assert.deepEqual([chains.find(huge), chains.size, chains.bytes], [undefined, 0, 0])
})

test('the limits are 1,024 chains and 4 MiB', () => {
  const chains = chainsAt({ now: 0 })
  for (let index = 0; index < 1030; index++) chains.remember([Uint8Array.of(index >> 8, index)])
  assert.equal(chains.size, 1024)
  for (let index = 0; index < 70; index++) chains.remember(chain(index, 65_533))
  assert.deepEqual([chains.size, chains.bytes], [64, 4 * 1024 * 1024])
})

for (const limit of [0, -1, 1.5, Number.NaN]) {
  test(`a limit of ${limit} is refused`, () => {
    assert.throws(() => chainsAt({ now: 0 }, { maxChains: limit }), RangeError)
    assert.throws(() => chainsAt({ now: 0 }, { maxBytes: limit }), RangeError)
  })
}

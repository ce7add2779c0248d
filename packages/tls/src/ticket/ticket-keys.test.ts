import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { createTicketKeyring, TICKET_LIFETIME_SECONDS, type TicketRootKey } from './ticket-keys.ts'

const HOUR = 3_600_000
const LIFETIME = TICKET_LIFETIME_SECONDS * 1000
const START = 1_800_000_000_000

/** Different bytes each time, the same in each test. */
function countingRandom(seed: number): (count: number) => Uint8Array {
  let calls = 0
  return (count) => {
    const bytes = new Uint8Array(count)
    new DataView(bytes.buffer).setUint32(0, (seed << 16) + ++calls)
    return bytes.length > 4 ? bytes.fill(0xaa, 4) : bytes
  }
}

let seeds = 0
function ringAt(start: number, options: { rotationMs?: number; lifetimeMs?: number } = {}) {
  const time = { now: start }
  const ring = createTicketKeyring({
    random: countingRandom(++seeds),
    clock: () => time.now,
    ...options,
  })
  return { time, ring }
}

function keyOf(
  id: number,
  activeFromMs: number,
  decryptUntilMs = activeFromMs + HOUR + LIFETIME,
): TicketRootKey {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, id)
  return { id: bytes, secret: new Uint8Array(32).fill(id), activeFromMs, decryptUntilMs }
}

const isWiped = (key: TicketRootKey): boolean => key.secret.every((byte) => byte === 0)

test('without options the keys are random: 4 and 32 bytes', () => {
  const [a, b] = [0, 1].map(() => createTicketKeyring({ clock: () => START }).current(START))
  assert.equal(a?.id.length, 4)
  assert.equal(a.secret.length, 32)
  assert.notDeepEqual(a.secret, b?.secret)
})

test('a key seals for its hour and not a millisecond longer', () => {
  const { ring } = ringAt(START)
  const first = ring.current(START)
  assert.equal(ring.current(START + HOUR - 1), first)
  const second = ring.current(START + HOUR)
  assert.notEqual(second, first)
  assert.equal(second?.activeFromMs, START + HOUR)
})

test('a key opens to the end of the last ticket’s life, then it is wiped', () => {
  const { ring } = ringAt(START)
  const first = ring.current(START) as TicketRootKey
  const lastTicketDies = START + HOUR - 1 + LIFETIME
  assert.equal(ring.find(first.id, lastTicketDies), first)
  assert.ok(!isWiped(first))
  assert.equal(ring.find(first.id, lastTicketDies + 1), undefined)
  assert.ok(isWiped(first))
})

test('nineteen keys are live, and the next one for the last ten minutes of each hour', () => {
  const { time, ring } = ringAt(START)
  const live = new Set<number>()
  for (let minute = 0; minute < 40 * 60; minute++) {
    time.now = START + minute * 60_000
    ring.current(time.now)
    if (minute >= 20 * 60) {
      assert.equal(ring.list().length, minute % 60 < 50 ? 19 : 20, `minute ${minute}`)
      live.add(ring.list().length)
    }
  }
  assert.deepEqual(live, new Set([19, 20]))
})

test('the next key exists ten minutes early and takes over on time', () => {
  const { time, ring } = ringAt(START)
  ring.current(START)
  time.now = START + HOUR - 600_001
  assert.equal(ring.list().length, 1)
  time.now++
  const next = ring.list().find(({ activeFromMs }) => activeFromMs === START + HOUR)
  assert.notEqual(next, undefined)
  assert.notDeepEqual(ring.current(START + HOUR - 1)?.id, next?.id)
  assert.deepEqual(ring.current(START + HOUR), next)
})

test('clock forwards past every key: all are wiped, a new one is made', () => {
  const { ring } = ringAt(START)
  const old = ring.current(START) as TicketRootKey
  const later = START + 40 * HOUR
  const key = ring.current(later)
  assert.ok(isWiped(old))
  assert.equal(key?.activeFromMs, later)
})

test('clock back by less than a rotation: nothing is made and nothing lost, however it trembles', () => {
  const { time, ring } = ringAt(START)
  const first = ring.current(START) as TicketRootKey
  for (let step = 1; step <= 500; step++) assert.equal(ring.current(START - step), first)
  time.now = START
  assert.equal(ring.list().length, 1)
  const second = ring.current(START + HOUR) as TicketRootKey
  assert.equal(ring.current(START + HOUR - 5), first, 'the hour before is active again')
  assert.equal(ring.find(second.id, START + HOUR - 5), second)
  assert.equal(ring.current(START + HOUR + 5), second)
})

test('clock back by more than a rotation: keys of the wrong future are wiped', () => {
  const { ring } = ringAt(START)
  const wrong = ring.current(START) as TicketRootKey
  const back = START - HOUR - 1
  const key = ring.current(back) as TicketRootKey
  assert.ok(isWiped(wrong))
  assert.equal(ring.find(wrong.id, back), undefined)
  assert.equal(key.activeFromMs, back)
})

test('a fleet: keys put in from outside are preferred, and every ring chooses the same', () => {
  const a = ringAt(START)
  const b = ringAt(START + 1000)
  b.ring.current(START + 1000)
  a.ring.current(START)
  a.time.now = b.time.now = START + HOUR - 60_000
  for (const key of a.ring.list()) assert.equal(b.ring.put(key), true)
  for (const at of [START + HOUR - 60_000, START + HOUR - 1, START + HOUR, START + 2 * HOUR - 1]) {
    assert.deepEqual(b.ring.current(at), a.ring.current(at))
  }
  assert.equal(a.ring.list().length + 1, b.ring.list().length, 'b keeps its own, to open what it sealed')
})

test('two issuers at the same moment: the order in which keys come does not matter', () => {
  const one = keyOf(1, START)
  const two = keyOf(2, START)
  for (const keys of [
    [one, two],
    [two, one],
  ]) {
    const { ring } = ringAt(START)
    for (const key of keys) ring.put(key)
    assert.deepEqual(ring.current(START)?.id, two.id)
  }
})

test('of two keys from outside that may seal the newer does', () => {
  const older = keyOf(2, START - 1)
  const newer = keyOf(1, START)
  for (const keys of [
    [older, newer],
    [newer, older],
  ]) {
    const { ring } = ringAt(START)
    for (const key of keys) ring.put(key)
    assert.deepEqual(ring.current(START), newer)
  }
})

test('a fleet that falls silent: the ring goes on with its own keys', () => {
  const { ring } = ringAt(START)
  ring.put(keyOf(7, START))
  assert.deepEqual(ring.current(START + HOUR - 1)?.id, keyOf(7, START).id)
  assert.equal(ring.current(START + HOUR)?.activeFromMs, START + HOUR)
})

test('a key that comes early opens tickets at once, and seals only if there is no other', () => {
  const early = keyOf(7, START + 600_000)
  const { ring } = ringAt(START)
  const own = ring.current(START)
  assert.equal(ring.put(early), true)
  assert.deepEqual(ring.find(early.id, START), early)
  assert.equal(ring.current(START), own)
  assert.deepEqual(ring.current(START + 600_000), early)
  const { ring: empty } = ringAt(START)
  empty.put(keyOf(8, START + 600_001))
  empty.put(early)
  empty.put(keyOf(9, START + 600_002))
  assert.deepEqual(empty.current(START), early)
})

test('what is put in and what is listed are copies', () => {
  const { ring } = ringAt(START)
  const key = keyOf(7, START)
  ring.put(key)
  key.secret.fill(0)
  for (const listed of ring.list()) listed.secret.fill(0)
  assert.deepEqual(ring.current(START)?.secret, keyOf(7, START).secret)
})

test('put says whether the ring holds the key', () => {
  const { time, ring } = ringAt(START)
  const key = keyOf(7, START)
  assert.equal(ring.put(key), true)
  assert.equal(ring.put(key), true, 'once more')
  assert.equal(ring.put({ ...key, secret: new Uint8Array(32) }), false, 'an id with another secret')
  assert.equal(ring.put(keyOf(8, START - HOUR - LIFETIME)), false, 'past')
  assert.equal(ring.put(keyOf(9, START - HOUR - LIFETIME + 1)), true, 'not quite past')
  assert.equal(ring.put(keyOf(10, START + HOUR)), true)
  assert.equal(ring.put(keyOf(11, START + HOUR + 1)), false, 'more than a rotation early')
  time.now += 1
  assert.equal(ring.put(keyOf(11, START + HOUR + 1)), true)
})

for (const [what, wrong] of [
  ['an id of 3 bytes', { id: new Uint8Array(3) }],
  ['a secret of 16 bytes', { secret: new Uint8Array(16) }],
  ['a life of nothing', { decryptUntilMs: START }],
  ['a life of more than 7 days', { decryptUntilMs: START + 7 * 24 * HOUR + 1 }],
  ['no time', { activeFromMs: Number.NaN }],
] as const) {
  test(`a key with ${what} is a caller's bug`, () => {
    assert.throws(() => ringAt(START).ring.put({ ...keyOf(7, START), ...wrong }), RangeError)
  })
}

test('the ring is bounded: of too many keys the first to go goes, wiped', () => {
  const { ring } = ringAt(START, { rotationMs: HOUR, lifetimeMs: HOUR }) // 2 live and 1 next: holds 6
  const lives = [9, 4, 5, 6, 7, 8].map((hours, index) => keyOf(index + 1, START, START + hours * HOUR))
  for (const key of lives) assert.equal(ring.put(key), true)
  const first = ring.find((lives[1] as TicketRootKey).id, START) as TicketRootKey
  assert.equal(ring.put(keyOf(100, START, START + 3 * HOUR)), false)
  assert.equal(ring.put(keyOf(101, START, START + 4 * HOUR)), false)
  assert.equal(ring.list().length, 6)
  assert.equal(ring.put(keyOf(102, START, START + 5 * HOUR)), true)
  assert.equal(ring.list().length, 6)
  assert.ok(isWiped(first))
})

test('in a ring full of keys that cannot seal there is still one that can', () => {
  const { ring } = ringAt(START, { rotationMs: HOUR, lifetimeMs: HOUR })
  for (let id = 1; id <= 6; id++) ring.put(keyOf(id, START - HOUR, START + HOUR))
  const key = ring.current(START) as TicketRootKey
  assert.equal(key.activeFromMs, START)
  assert.ok(!isWiped(key))
  assert.equal(ring.list().length, 6)
})

test('in a full ring the next key waits: the one that seals is not wiped for it', () => {
  const { time, ring } = ringAt(START, { rotationMs: HOUR, lifetimeMs: HOUR })
  const key = ring.current(START)
  time.now = START + HOUR - 1
  for (let id = 1; id <= 5; id++) assert.equal(ring.put(keyOf(id, START + 2 * HOUR - 1)), true)
  assert.equal(ring.current(time.now), key)
  assert.ok(!isWiped(key as TicketRootKey))
  assert.equal(ring.list().length, 6)
})

test('an id that is taken is not used twice, even by a random source that repeats itself', () => {
  const ring = createTicketKeyring({
    clock: () => START,
    random: (count) => new Uint8Array(count).fill(0xff),
  })
  const first = ring.current(START) as TicketRootKey
  const second = ring.current(START + HOUR) as TicketRootKey
  assert.deepEqual([...first.id, ...second.id], [255, 255, 255, 255, 0, 0, 0, 0])
})

test('find takes ids of any length and finds only its own', () => {
  const { ring } = ringAt(START)
  ring.current(START)
  for (let length = 0; length < 8; length++) assert.equal(ring.find(new Uint8Array(length), START), undefined)
})

for (const [what, options] of [
  ['no time at all', { rotationMs: 0 }],
  ['half a millisecond', { rotationMs: 0.5 }],
  ['a negative life', { lifetimeMs: -1 }],
  ['keys of more than 7 days', { lifetimeMs: 7 * 24 * HOUR }],
  ['more than 1024 keys', { rotationMs: 1000 }],
] as const) {
  test(`a ring for ${what} is refused`, () => {
    assert.throws(() => createTicketKeyring({ clock: () => START, ...options }), RangeError)
  })
}

test('no secret shows when a key is inspected or serialised by accident', () => {
  const { ring } = ringAt(START)
  const own = ring.current(START)
  ring.put({ ...keyOf(7, START), secret: new Uint8Array(32).fill(0xab) })
  for (const value of [ring, own, ring.current(START), ring.list()]) {
    assert.doesNotMatch(inspect(value, { depth: 9 }), /17[01], 17[01]|aa aa|ab ab/)
    assert.doesNotMatch(JSON.stringify(value), /:17[01],/)
  }
  assert.match(inspect(own), /32 secret bytes/)
})

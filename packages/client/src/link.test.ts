import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { type Link, type LinkContext, type LinkEffect, type LinkEvent, step } from './link.ts'

const context: LinkContext = { now: 10_000, random: 0.5, isBusy: true }
const backingOff = {
  state: 'backing-off',
  failures: 3,
  failedAt: 9900,
  retryAt: 10_100,
  isFailingFast: true,
} as const

const TRANSITIONS: readonly {
  name: string
  link: Link
  event: LinkEvent
  becomes: Link
  effects?: readonly LinkEffect[]
  in?: Partial<LinkContext>
}[] = [
  {
    name: 'the first request dials',
    link: { state: 'idle' },
    event: 'wanted',
    becomes: { state: 'dialling', failures: 0 },
    effects: [{ effect: 'dial' }],
  },
  {
    name: 'a dial that worked is open but proves nothing',
    link: { state: 'dialling', failures: 2 },
    event: 'dialled',
    becomes: { state: 'open', failures: 2, isProven: false },
  },
  {
    name: 'a dial that failed refuses whoever waits',
    link: { state: 'dialling', failures: 0 },
    event: 'dial-failed',
    becomes: { ...backingOff, failures: 1, failedAt: 10_000, retryAt: 10_050 },
    effects: [{ effect: 'wake', afterMs: 50 }, { effect: 'refuse-waiting' }],
  },
  {
    name: 'while somebody asks the delay stays under a second',
    link: { state: 'dialling', failures: 20 },
    event: 'dial-failed',
    becomes: { ...backingOff, failures: 21, failedAt: 10_000, retryAt: 10_500 },
    effects: [{ effect: 'wake', afterMs: 500 }, { effect: 'refuse-waiting' }],
  },
  {
    name: 'while nobody asks it may grow to half a minute',
    link: { state: 'dialling', failures: 20 },
    event: 'dial-failed',
    in: { isBusy: false },
    becomes: { ...backingOff, failures: 21, failedAt: 10_000, retryAt: 25_000 },
    effects: [{ effect: 'wake', afterMs: 15_000 }, { effect: 'refuse-waiting' }],
  },
  {
    name: 'an answer proves the link and forgets the failures',
    link: { state: 'open', failures: 2, isProven: false },
    event: 'answered',
    becomes: { state: 'open', failures: 0, isProven: true },
  },
  {
    name: 'a proven link that is lost is dialled at once',
    link: { state: 'open', failures: 0, isProven: true },
    event: 'lost',
    becomes: { state: 'dialling', failures: 0 },
    effects: [{ effect: 'dial' }],
  },
  {
    name: 'a link lost before any answer backs off, requests wait',
    link: { state: 'open', failures: 0, isProven: false },
    event: 'lost',
    becomes: { ...backingOff, failures: 1, failedAt: 10_000, retryAt: 10_050, isFailingFast: false },
    effects: [{ effect: 'wake', afterMs: 50 }],
  },
  {
    name: 'lost before any answer a second time is as good as a dial that failed',
    link: { state: 'open', failures: 1, isProven: false },
    event: 'lost',
    becomes: { ...backingOff, failures: 2, failedAt: 10_000, retryAt: 10_100 },
    effects: [{ effect: 'wake', afterMs: 100 }, { effect: 'refuse-waiting' }],
  },
  {
    name: 'the end of the delay dials',
    link: backingOff,
    event: 'retry-due',
    becomes: { state: 'dialling', failures: 3 },
    effects: [{ effect: 'dial' }],
  },
  {
    name: 'a request soon after a failed dial is refused',
    link: backingOff,
    event: 'wanted',
    becomes: backingOff,
    effects: [{ effect: 'refuse-waiting' }],
  },
  {
    name: 'a request brings a far retry near',
    link: { ...backingOff, retryAt: 30_000 },
    event: 'wanted',
    becomes: { ...backingOff, retryAt: 10_900 },
    effects: [{ effect: 'wake', afterMs: 900 }, { effect: 'refuse-waiting' }],
  },
  {
    name: 'a request long after a failed dial dials',
    link: { ...backingOff, failedAt: 9000, retryAt: 30_000 },
    event: 'wanted',
    becomes: { state: 'dialling', failures: 3 },
    effects: [{ effect: 'dial' }],
  },
  {
    name: 'a request after a mere loss waits',
    link: { ...backingOff, isFailingFast: false },
    event: 'wanted',
    becomes: { ...backingOff, isFailingFast: false },
  },
  {
    name: 'the end',
    link: { state: 'open', failures: 0, isProven: true },
    event: 'close',
    becomes: { state: 'closed' },
    effects: [{ effect: 'hang-up' }],
  },
]

for (const { name, link, event, becomes, effects = [], in: changed } of TRANSITIONS) {
  test(`link: ${name}`, () => {
    assert.deepEqual(step(link, event, { ...context, ...changed }), { link: becomes, effects })
  })
}

const anyLink = fc.constantFrom<Link>(
  { state: 'idle' },
  { state: 'dialling', failures: 1 },
  { state: 'open', failures: 1, isProven: false },
  { state: 'open', failures: 0, isProven: true },
  backingOff,
  { ...backingOff, isFailingFast: false },
  { state: 'closed' },
)
const anyEvent = fc.constantFrom<LinkEvent>(
  'wanted',
  'dialled',
  'dial-failed',
  'answered',
  'lost',
  'retry-due',
  'close',
)

test('link: whatever crosses, one dial at a time, a wake-up for each back-off, and closed is the end', () => {
  fc.assert(
    fc.property(anyLink, anyEvent, fc.double({ min: 0, max: 0.999, noNaN: true }), (link, event, random) => {
      const { link: next, effects } = step(link, event, { ...context, random })
      const has = (wanted: LinkEffect['effect']): boolean => effects.some(({ effect }) => effect === wanted)
      assert.equal(has('dial'), next.state === 'dialling' && link.state !== 'dialling')
      if (next.state === 'backing-off' && link.state !== 'backing-off') assert.ok(has('wake'))
      if (link.state === 'closed') assert.deepEqual([next, effects], [link, []])
      if (event === 'close') assert.equal(next.state, 'closed')
    }),
  )
})

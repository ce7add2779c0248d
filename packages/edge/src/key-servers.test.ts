import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClientError, type ClientErrorCode, type KeyServerClient } from '@latchkey/client'
import { firstThatAnswers } from './key-servers.ts'

type Fake = Pick<KeyServerClient, 'request' | 'state'>

const OPERATION = { opcode: 0x15, payload: Uint8Array.of(1) }
const ANSWER = { opcode: 0xf0, payload: Uint8Array.of(2) }

function answers(asked: string[], name: string, state: Fake['state'] = 'open'): Fake {
  return { state, request: () => (asked.push(name), Promise.resolve(ANSWER)) }
}

function fails(asked: string[], name: string, error: Error, state: Fake['state'] = 'open'): Fake {
  return { state, request: () => (asked.push(name), Promise.reject(error)) }
}

const clientError = (code: ClientErrorCode): ClientError => new ClientError(code)

interface Row {
  name: string
  make: (asked: string[]) => Fake[]
  want: string[]
  error?: ClientErrorCode
}

const ROWS: Row[] = [
  {
    name: 'the first one that is connected',
    make: (a) => [answers(a, 'a', 'idle'), answers(a, 'b')],
    want: ['b'],
  },
  { name: 'the first of equals', make: (a) => [answers(a, 'a'), answers(a, 'b')], want: ['a'] },
  {
    name: 'one that is not connected if there is no other',
    make: (a) => [answers(a, 'a', 'idle')],
    want: ['a'],
  },
  {
    name: 'the next when one cannot be reached',
    make: (a) => [fails(a, 'a', clientError('ERR_CLIENT_CONNECT')), answers(a, 'b')],
    want: ['a', 'b'],
  },
  {
    name: 'the next when one has no such key',
    make: (a) => [fails(a, 'a', new Error('key not found')), answers(a, 'b')],
    want: ['a', 'b'],
  },
  {
    name: 'nobody else when the handshake is over',
    make: (a) => [fails(a, 'a', clientError('ERR_CLIENT_ABORTED')), answers(a, 'b')],
    want: ['a'],
    error: 'ERR_CLIENT_ABORTED',
  },
  {
    name: 'the last one’s error when all fail',
    make: (a) => [
      fails(a, 'a', clientError('ERR_CLIENT_TIMEOUT')),
      fails(a, 'b', clientError('ERR_CLIENT_CONNECT')),
    ],
    want: ['a', 'b'],
    error: 'ERR_CLIENT_CONNECT',
  },
]

for (const { name, make, want, error } of ROWS) {
  test(`key servers: asks ${name}`, async () => {
    const asked: string[] = []
    const reply = firstThatAnswers(make(asked), () => 0).request(OPERATION, { timeoutMs: 1000 })
    if (error === undefined) assert.equal(await reply, ANSWER)
    else await assert.rejects(reply, { code: error })
    assert.deepEqual(asked, want)
  })
}

test('key servers: one that hangs gets half of the time, the last one all that is left', async () => {
  let now = 0
  const given: (number | undefined)[] = []
  const hanging: Fake = {
    state: 'open',
    request: (_operation, options) => {
      given.push(options?.timeoutMs)
      now += options?.timeoutMs ?? 0
      return Promise.reject(clientError('ERR_CLIENT_TIMEOUT'))
    },
  }
  await assert.rejects(
    firstThatAnswers([hanging, hanging, hanging], () => now).request(OPERATION, { timeoutMs: 3000 }),
  )
  assert.deepEqual(given, [1500, 750, 750])
})

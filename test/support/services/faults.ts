// What each cloud driver owes an operator when its service fails: the same table for all of them.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type {
  DriverEntry,
  DriverOptions,
  DriverStore,
  KeysError,
  KeysErrorCode,
  PrivateKey,
} from '@latchkey/keys'
import { type DriverCall, proveKey } from '@latchkey/keys/driver'
import type { Answered, Fault, Service } from './service.ts'

export interface Cloud {
  readonly service: () => Service
  readonly open: (entries: readonly DriverEntry[], options: DriverOptions) => Promise<DriverStore>
  /** Of a P-256 key. */
  readonly uri: string
  /** What is not there, cannot be used, or is no name. */
  readonly bad: readonly {
    readonly name: string
    readonly uri: string
    readonly code: KeysErrorCode
    readonly says: RegExp
  }[]
  readonly faults: {
    readonly denied: Answered
    /** Undefined: the service knows no such thing. */
    readonly disabled: Answered | undefined
    /** With Retry-After: 1. */
    readonly busy: Answered
    readonly broken: Answered
    readonly wrongAlgorithm: Answered
    /** Bytes of the signature are not those that were made. */
    readonly bent: (answer: Answered) => Answered
  }
}

interface Row {
  readonly name: string
  readonly fault: (cloud: Cloud) => Fault | undefined
  readonly code: KeysErrorCode
  /** Requests that are made for one signature. */
  readonly tries: number
  readonly says: RegExp
}

const TIMEOUT_MS = 800

const ALWAYS: readonly Row[] = [
  {
    name: 'access denied',
    fault: ({ faults }) => faults.denied,
    code: 'ERR_KEYS_DENIED',
    tries: 1,
    says: /hint: /,
  },
  {
    name: 'a disabled key',
    fault: ({ faults }) => faults.disabled,
    code: 'ERR_KEYS_DISABLED',
    tries: 1,
    says: /enable/,
  },
  {
    name: 'server errors',
    fault: ({ faults }) => faults.broken,
    code: 'ERR_KEYS_UNAVAILABLE',
    tries: 3,
    says: /HTTP 5\d\d/,
  },
  {
    name: 'connections that are reset',
    fault: () => 'reset',
    code: 'ERR_KEYS_UNAVAILABLE',
    tries: 3,
    says: /does not answer/,
  },
  { name: 'no answer', fault: () => 'slow', code: 'ERR_KEYS_DEADLINE', tries: 1, says: /within 800 ms/ },
  {
    name: 'a page of a proxy',
    fault: () => 'garbage',
    code: 'ERR_KEYS_REPLY',
    tries: 3,
    says: /something else/,
  },
  {
    name: 'a wrong algorithm',
    fault: ({ faults }) => faults.wrongAlgorithm,
    code: 'ERR_KEYS_ALGORITHM',
    tries: 1,
    says: /cannot do/,
  },
]

export function cloudFaults(title: string, cloud: Cloud): void {
  /** The first key of a store, and what its observer was told. */
  async function opened(entry: Partial<DriverEntry> = {}) {
    const calls: DriverCall[] = []
    const store = await cloud.open([{ uri: cloud.uri, timeoutMs: TIMEOUT_MS, ...entry }], {
      observer: { called: (call) => calls.push(call) },
    })
    calls.length = 0
    return { store, key: firstOf(store), calls }
  }
  const sign = async (key: PrivateKey): Promise<Uint8Array> => key.sign('ecdsa_sha256', randomBytes(32))

  for (const { name, fault, code, tries, says } of ALWAYS) {
    const failing = fault(cloud)
    if (failing === undefined) continue
    test(`${title}: ${name}`, async () => {
      const { store, key, calls } = await opened()
      await using _store = store
      cloud.service().failAlways(failing)
      try {
        await assert.rejects(sign(key), (error: KeysError) => {
          assert.equal(error.code, code, error.message)
          assert.match(error.message, says)
          assert.ok(error.message.includes(key.source), 'it names the key')
          return true
        })
        assert.equal(calls.length, tries)
        assert.ok(calls.every((call) => call.error === code))
        assert.notEqual(store.health()[0]?.state, 'up')
      } finally {
        cloud.service().heal()
      }
      await proveKey(key)
      assert.equal(store.health()[0]?.state, 'up', 'and it works again')
    })
  }

  test(`${title}: an answer that is cut short is asked for again`, async () => {
    const { store, key, calls } = await opened({ timeoutMs: 5000 })
    await using _store = store
    cloud.service().fail('truncated')
    await proveKey(key)
    assert.equal(calls.length, 2)
    assert.ok(['ERR_KEYS_REPLY', 'ERR_KEYS_UNAVAILABLE'].includes(calls[0]?.error ?? ''))
  })

  test(`${title}: a signature that is bent on the way does not travel on`, async () => {
    const { store, key } = await opened({ timeoutMs: 5000 })
    await using _store = store
    cloud.service().fail(cloud.faults.bent)
    await proveKey(key)
  })

  test(`${title}: too many requests: asked again when the service said, and by nobody before`, async () => {
    const { store, key, calls } = await opened({ timeoutMs: 5000 })
    await using _store = store
    const before = cloud.service().asked.length
    cloud.service().fail(cloud.faults.busy)
    const startedAt = performance.now()
    const first = sign(key)
    await delay(200)
    const second = sign(key)
    await delay(300)
    assert.equal(cloud.service().asked.length - before, 1, 'the second waits as well')
    await Promise.all([first, second])
    assert.ok(performance.now() - startedAt >= 1000)
    assert.deepEqual(
      calls.map(({ error }) => error),
      ['ERR_KEYS_BUSY', undefined, undefined],
    )
  })

  test(`${title}: once there is no answer again and again, nobody waits for one`, async () => {
    const { store, key } = await opened({ timeoutMs: 5000 })
    await using _store = store
    cloud.service().failAlways(cloud.faults.broken)
    try {
      for (let n = 0; n < 2; n++) await assert.rejects(sign(key))
      const before = cloud.service().asked.length
      const startedAt = performance.now()
      await assert.rejects(sign(key), { code: 'ERR_KEYS_UNAVAILABLE', message: /again and again/ })
      assert.ok(performance.now() - startedAt < 100)
      assert.equal(cloud.service().asked.length, before)
      assert.equal(store.health()[0]?.state, 'down')
    } finally {
      cloud.service().heal()
    }
    await delay(1100)
    await proveKey(key)
    assert.equal(store.health()[0]?.state, 'up')
  })

  test(`${title}: the budget of a key is kept`, async () => {
    const { store, key } = await opened({ maxInFlight: 2, maxPerSecond: 50, timeoutMs: 10_000 })
    await using _store = store
    const before = cloud.service().asked.length
    const all = Array.from({ length: 12 }, () => sign(key))
    await delay(0)
    assert.deepEqual([store.health()[0]?.inFlight, store.health()[0]?.queued], [2, 10])
    await Promise.all(all)
    assert.equal(cloud.service().asked.length - before, 12)
  })

  for (const { name, uri, code, says } of cloud.bad) {
    test(`${title}: ${name}`, async () => {
      await assert.rejects(
        async () => {
          await using _store = await cloud.open([{ uri, timeoutMs: 3000 }], {})
        },
        (error: KeysError) => {
          assert.equal(error.code, code, error.message)
          assert.match(error.message, says)
          return true
        },
      )
    })
  }
}

export function firstOf(store: DriverStore): PrivateKey {
  const [key] = store.list()
  assert.ok(key !== undefined)
  return key
}

/** Changes the base64 of a member of the answer, and keeps it base64. */
export function bend(member: string, at = 20): (answer: Answered) => Answered {
  return ({ body, ...rest }) => {
    const text = (body as Record<string, string>)[member] ?? ''
    const other = text[at] === 'A' ? 'B' : 'A'
    return {
      ...rest,
      body: { ...(body as object), [member]: text.slice(0, at) + other + text.slice(at + 1) },
    }
  }
}

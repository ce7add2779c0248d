// What goes wrong with a token while it is in use, on SoftHSM2: it works again without a restart, and no signature is
// lost or given to somebody else.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createLogger, type LogRecord } from '@latchkey/core'
import {
  type KeysError,
  type PrivateKey,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
} from '@latchkey/keys'
import { type DriverCall, isSignature } from '@latchkey/keys/driver'
import { openKeyStore, type Pkcs11Store } from '@latchkey/keys-pkcs11'
import { hash } from 'node:crypto'
import type * as pkcs11js from 'pkcs11js'
import { isSoftHsmInstalled, PIN, SOFTHSM_MODULE, SoftHsm, WRONG_PIN } from './support/softhsm.ts'

const skip = isSoftHsmInstalled() ? false : 'softhsm2 and opensc are not installed'
const hsm = new SoftHsm()
Object.assign(process.env, hsm.env)
after(() => hsm[Symbol.dispose]())

const folders: Record<string, string> = {}
before(() => {
  if (skip !== false) return
  // All of them before the module is opened: it does not see later ones.
  for (const token of ['lost', 'pulled', 'pin', 'crowd', 'many', 'twins'])
    folders[token] = hsm.addToken(token)
  for (const token of ['lost', 'pulled', 'pin', 'crowd']) {
    hsm.generate(token, 'EC:prime256v1', 'ec', '01')
    hsm.generate(token, 'rsa:2048', 'rsa', '02')
  }
  hsm.generate('crowd', 'EC:edwards25519', 'ed', '03')
  for (const id of ['01', '02', '03']) hsm.generate('twins', 'EC:prime256v1', 'same', id)
})

const ALGORITHM = { ec: 'ecdsa_sha256', rsa: 'rsa_pss_sha256', ed25519: 'ed25519' } as const satisfies Record<
  string,
  SignatureAlgorithm
>

/** Signs a message of its own, and says whether what came back is the signature of that one. */
async function signs(key: PrivateKey): Promise<boolean> {
  const algorithm = ALGORITHM[key.keyType]
  const message = randomBytes(40)
  const { hash: name } = SIGNATURE_ALGORITHMS[algorithm]
  const input = name === undefined ? message : hash(name, message, 'buffer')
  return isSignature(key, algorithm, message, await key.sign(algorithm, input))
}

async function signsWithin(key: PrivateKey, ms: number): Promise<boolean> {
  const until = performance.now() + ms
  while (performance.now() < until) {
    if (await signs(key).catch(() => false)) return true
    await delay(50)
  }
  return false
}

function keysOf(store: Pkcs11Store): PrivateKey[] {
  return [...store.list()]
}

/** The module as another part of this process sees it: one module has one set of sessions a process. */
function otherUser(): pkcs11js.PKCS11 {
  const { PKCS11 } = createRequire(new URL('../packages/keys-pkcs11/src/index.ts', import.meta.url))(
    'pkcs11js',
  ) as typeof pkcs11js
  const other = new PKCS11()
  other.load(SOFTHSM_MODULE)
  return other
}

function slotOf(other: pkcs11js.PKCS11, label: string): pkcs11js.Handle {
  const slot = other.C_GetSlotList(true).find((each) => other.C_GetTokenInfo(each).label.trim() === label)
  assert.ok(slot !== undefined)
  return slot
}

test('sessions closed by somebody else', { skip }, async () => {
  await using store = await openKeyStore([{ uri: hsm.uri('lost') }], {})
  const other = otherUser()
  for (const key of keysOf(store)) {
    assert.ok(await signs(key))
    other.C_CloseAllSessions(slotOf(other, 'lost'))
    assert.ok(await signs(key), 'the next signature is made all the same')
  }
})

test('logged out by somebody else', { skip }, async () => {
  const recovered: string[] = []
  const observer = { recovered: (_: string, step: string) => recovered.push(step) }
  await using store = await openKeyStore([{ uri: hsm.uri('lost') }], { observer })
  const other = otherUser()
  const slot = slotOf(other, 'lost')
  for (const key of keysOf(store)) {
    assert.ok(await signs(key))
    other.C_Logout(other.C_OpenSession(slot, 4))
    assert.ok(await signsWithin(key, 5000))
  }
  assert.ok(recovered.length > 0)
})

test('sessions closed under load: nothing lost, nothing crossed', { skip }, async () => {
  await using store = await openKeyStore([{ uri: hsm.uri('crowd', undefined, '&max-sessions=4') }], {})
  const keys = keysOf(store)
  const other = otherUser()
  const slot = slotOf(other, 'crowd')
  const over = new AbortController()
  const outcomes: boolean[] = []
  const lanes = Array.from({ length: 16 }, async (_, lane) => {
    for (let n = 0; !over.signal.aborted; n++)
      outcomes.push(await signs(keys[(lane + n) % keys.length] as PrivateKey))
  })
  for (let n = 0; n < 5; n++) {
    await delay(50)
    // Idle ones only: to close a session that another thread is signing in is not for a test to try.
    const idle = other.C_OpenSession(slot, 4)
    other.C_CloseSession(idle)
  }
  over.abort()
  await Promise.all(lanes)
  assert.ok(outcomes.length > 100 && outcomes.every(Boolean))
})

test('a token that is pulled out and put back', { skip }, async () => {
  const lines: LogRecord[] = []
  const logger = createLogger((record) => lines.push(record), 'info')
  await using store = await openKeyStore([{ uri: hsm.uri('pulled') }], { logger })
  await using others = await openKeyStore([{ uri: hsm.uri('crowd') }], {})
  const keys = keysOf(store)
  for (const key of keys) assert.ok(await signs(key))
  const putBack = hsm.pullOut(folders['pulled'] as string)
  // SoftHSM signs on with what it has in memory: as a real token would, it must notice.
  const other = otherUser()
  other.C_Finalize()
  other.C_Initialize({ flags: 2 })
  await assert.rejects(signs(keys[0] as PrivateKey), (error: KeysError) => error.isTransient)
  for (const key of keysOf(others))
    assert.ok(await signsWithin(key, 5000), 'another token of the module goes on')
  putBack()
  const putBackAt = performance.now()
  for (const key of keys) assert.ok(await signsWithin(key, 35_000), 'it works again')
  assert.ok(performance.now() - putBackAt < 10_000, 'soon')
  assert.ok(lines.length < 20, 'and without a line for each signature that failed')
  assert.equal(store.health()[0]?.state, 'up')
})

test('a wrong PIN is tried once', { skip }, async () => {
  const uri = hsm.uri('pin').replace(PIN, WRONG_PIN)
  await assert.rejects(openKeyStore([{ uri }], {}), { code: 'ERR_KEYS_DENIED' })
  // Started again by a service manager, and by each of its processes: not one more try.
  for (let n = 0; n < 20; n++) {
    await assert.rejects(openKeyStore([{ uri }], {}), { code: 'ERR_KEYS_DISABLED' })
  }
  await assert.rejects(openKeyStore([{ uri: hsm.uri('pin') }], {}), { code: 'ERR_KEYS_DISABLED' })
  hsm.tool('pin', ['--list-objects']) // logs in with the right one
  await using store = await openKeyStore([{ uri: hsm.uri('pin') }], {})
  for (const key of keysOf(store)) assert.ok(await signs(key))
})

test('64 callers at a time on two sessions', { skip }, async () => {
  const calls: DriverCall[] = []
  const observer = { called: (call: DriverCall) => calls.push(call) }
  await using store = await openKeyStore([{ uri: hsm.uri('crowd'), maxInFlight: 2 }], { observer })
  const keys = keysOf(store)
  let most = 0
  const outcomes = await Promise.all(
    Array.from({ length: 64 }, async (_, lane) => {
      for (let n = 0; n < 10; n++) {
        if (!(await signs(keys[(lane + n) % keys.length] as PrivateKey))) return false
        most = Math.max(most, store.health()[0]?.inFlight ?? 0)
      }
      return true
    }),
  )
  assert.ok(outcomes.every(Boolean))
  assert.equal(most, 2)
  assert.ok(calls.length >= 640 && calls.every(({ error }) => error === undefined))
})

test('a caller who goes away, and one who is too late', { skip }, async () => {
  await using store = await openKeyStore([{ uri: hsm.uri('crowd'), maxInFlight: 1, timeoutMs: 20_000 }], {})
  const [rsa] = keysOf(store).filter(({ keyType }) => keyType === 'rsa')
  assert.ok(rsa !== undefined)
  const digest = randomBytes(32)
  const going = new AbortController()
  const all = Array.from({ length: 50 }, async () =>
    rsa.sign('rsa_pss_sha256', digest, { signal: going.signal }),
  )
  const reason = new Error('gone')
  going.abort(reason)
  for (const outcome of await Promise.allSettled(all)) {
    if (outcome.status === 'rejected') assert.equal(outcome.reason, reason)
  }
  assert.ok(await signs(rsa))
  assert.deepEqual(store.health()[0], { source: 'pkcs11:token=crowd', state: 'up', inFlight: 0, queued: 0 })
})

test('three keys of one label: each with its own public half', { skip }, async () => {
  await using store = await openKeyStore([{ uri: hsm.uri('twins', 'same') }], {})
  assert.equal(store.size, 3)
  for (const key of keysOf(store)) assert.ok(await signs(key))
})

test('1,000 keys on a token', { skip }, async () => {
  const other = otherUser()
  {
    await using _opened = await openKeyStore([{ uri: hsm.uri('crowd', 'ec') }], {}) // the module is started
    const session = other.C_OpenSession(slotOf(other, 'many'), 6)
    other.C_Login(session, 1, PIN)
    for (let n = 0; n < 1000; n++) {
      const id = Buffer.alloc(2)
      id.writeUInt16BE(n)
      const common = [
        { type: 0x01, value: true },
        { type: 0x102, value: id },
        { type: 0x03, value: `key ${n}` },
      ]
      other.C_GenerateKeyPair(
        session,
        { mechanism: 0x1040 },
        [
          ...common,
          { type: 0x180, value: Buffer.from('06082a8648ce3d030107', 'hex') },
          { type: 0x10a, value: true },
        ],
        [...common, { type: 0x02, value: true }, { type: 0x103, value: true }, { type: 0x108, value: true }],
      )
    }
    other.C_CloseAllSessions(slotOf(other, 'many'))
  }
  const started = performance.now()
  await using store = await openKeyStore([{ uri: hsm.uri('many') }], {})
  assert.equal(store.size, 1000)
  assert.ok(performance.now() - started < 20_000)
  const keys = keysOf(store)
  const outcomes = await Promise.all(Array.from({ length: 200 }, (_, n) => signs(keys[n * 5] as PrivateKey)))
  assert.ok(outcomes.every(Boolean))
})

test('a reload finds what is new on the token, and keeps serving', { skip }, async () => {
  await using store = await openKeyStore([{ uri: hsm.uri('twins') }], {})
  const [first] = keysOf(store)
  assert.ok(first !== undefined)
  using prepared = await store.prepareReload()
  assert.deepEqual(prepared.commit(), { added: 0, removed: 0, kept: 3 })
  assert.ok(await signs(first), 'who holds a key goes on with it')
})

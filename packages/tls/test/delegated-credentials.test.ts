// Issuing and renewing, over days that pass at once: the clock, the timer and the signer are the test's.
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { createThrowawayCa, type IssueOptions } from '@latchkey/throwaway-pki'
import { type Credential, loadCredential } from '../src/credential/credential.ts'
import { isServable } from '../src/credential/delegation.ts'
import type { TlsError } from '../src/errors.ts'
import {
  DelegatedCredentials,
  type DelegatedCredentialsOptions,
  MAX_DELEGATING,
} from '../src/signer/delegated-credentials.ts'
import { createLocalSigner } from '../src/signer/local-signer.ts'
import type { Signer, SignRequest } from '../src/signer/signer.ts'

const HOUR = 3_600_000
const ca = await createThrowawayCa()
const start = Date.now()

interface Site {
  readonly credential: Credential
  readonly signer: Signer
}

async function site(options: IssueOptions = {}): Promise<Site> {
  const { chainPem, privateKeyPem } = await ca.issue({
    dnsNames: ['a.example'],
    isDelegation: true,
    notAfter: new Date(start + 90 * 24 * HOUR),
    ...options,
  })
  const privateKey = createPrivateKey(privateKeyPem)
  const signer = createLocalSigner([{ privateKey, publicKey: createPublicKey(privateKey) }])
  return { credential: loadCredential({ chain: chainPem }), signer }
}

/** A manager whose time is told by the test. */
class Days implements AsyncDisposable {
  readonly manager: DelegatedCredentials
  readonly requests: SignRequest[] = []
  readonly issued: number[] = []
  readonly errors: TlsError[] = []
  now = start
  #work: (() => void) | undefined
  #dueMs = Infinity

  constructor(signer: Signer, options: Partial<DelegatedCredentialsOptions> = {}) {
    this.manager = new DelegatedCredentials({
      signer: {
        sign: (request, signal) => {
          this.requests.push(request)
          return signer.sign(request, signal)
        },
      },
      clock: () => this.now,
      random: () => 0.5,
      schedule: (work, afterMs) => {
        this.#work = work
        this.#dueMs = this.now + afterMs
        return () => {
          this.#dueMs = Infinity
        }
      },
      onIssued: (_credential, { expiresAtMs }) => void this.issued.push(expiresAtMs),
      onFailed: (_credential, error) => void this.errors.push(error),
      ...options,
    })
  }

  /** Lets time pass, with every timer on its way and what it starts. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms
    await setImmediate()
    while (this.#dueMs <= end) {
      this.now = Math.max(this.now, this.#dueMs)
      this.#dueMs = Infinity
      this.#work?.()
      await setImmediate()
    }
    this.now = end
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.manager[Symbol.asyncDispose]()
  }
}

test('the signer is asked for one signature, and for the next when a half to two thirds of a day have passed', async () => {
  const { credential, signer } = await site()
  await using days = new Days(signer)
  days.manager.add(credential)
  days.manager.add(credential)
  assert.deepEqual(days.manager.current(credential), [])
  await days.pass(0)
  const [first] = days.manager.current(credential)
  assert.ok(first !== undefined && isServable(first, days.now))
  assert.ok(Math.abs(first.expiresAtMs - (start + 24 * HOUR)) <= 1000, 'a day, in whole seconds')
  const [request] = days.requests
  assert.deepEqual([request?.purpose, request?.serverName], ['delegated-credential', 'a.example'])
  assert.deepEqual(request?.keyId, credential.keyId)

  await days.pass(13.9 * HOUR)
  assert.deepEqual([days.requests.length, days.manager.current(credential)[0]], [1, first])
  await days.pass(0.2 * HOUR)
  assert.equal(days.requests.length, 2)
  assert.notEqual(days.manager.current(credential)[0], first)
  await days.pass(10 * 24 * HOUR)
  assert.equal(days.requests.length, 2 + Math.floor((10 * 24) / 14))
  assert.deepEqual(days.errors, [])
})

test('the old one is served while the new one cannot be had; tries become rare, and it goes on by itself', async () => {
  const { credential, signer } = await site()
  let isDown = false
  await using days = new Days({
    sign: async (request, signal) => {
      if (isDown) throw new Error('down')
      return signer.sign(request, signal)
    },
  })
  days.manager.add(credential)
  await days.pass(0)
  const [first] = days.manager.current(credential)
  isDown = true
  await days.pass(20 * HOUR)
  assert.deepEqual(days.manager.current(credential), [first])
  assert.ok(days.errors.every(({ code }) => code === 'ERR_TLS_SIGNER'))
  // Six hours of tries: nine that double, then one in seven and a half minutes.
  assert.ok(days.requests.length > 40 && days.requests.length < 70, `${days.requests.length} tries`)
  await days.pass(5 * HOUR)
  assert.ok(first !== undefined && !isServable(first, days.now), 'its time is over')
  isDown = false
  await days.pass(600_000)
  const [second] = days.manager.current(credential)
  assert.ok(second !== undefined && isServable(second, days.now))
})

test('a wrong signature is not served', async () => {
  const { credential } = await site()
  const other = await site()
  await using days = new Days({
    sign: (request, signal) => other.signer.sign({ ...request, keyId: other.credential.keyId }, signal),
  })
  days.manager.add(credential)
  await days.pass(0)
  assert.deepEqual(days.manager.current(credential), [])
  assert.deepEqual(
    days.errors.map(({ code }) => code),
    ['ERR_TLS_SIGNER_WRONG'],
  )
})

test('a signer that throws, or answers with something else, has failed', async () => {
  const { credential } = await site()
  const answers = [
    () => {
      throw new Error('no')
    },
    () => 'a signature' as unknown as Uint8Array,
  ]
  for (const sign of answers) {
    await using days = new Days({ sign })
    days.manager.add(credential)
    await days.pass(0)
    assert.deepEqual(
      days.errors.map(({ code }) => code),
      ['ERR_TLS_SIGNER'],
    )
  }
})

test('a signer that never answers is not waited for, and is told so', async () => {
  const { credential } = await site()
  const { promise, resolve } = Promise.withResolvers<TlsError>()
  let aborted = false
  await using days = new Days(
    {
      sign: (_request, signal) => {
        signal.addEventListener('abort', () => (aborted = true))
        return new Promise<never>(() => {})
      },
    },
    { signerTimeoutMs: 20, onFailed: (_credential, error) => resolve(error) },
  )
  days.manager.add(credential)
  // The deadline's timer keeps no process running; this one does.
  const patience = setTimeout(() => {}, 10_000)
  assert.equal((await promise).code, 'ERR_TLS_SIGNER_TIMEOUT')
  clearTimeout(patience)
  assert.ok(aborted)
})

test('at most four signatures are asked for at a time', async () => {
  const sites = await Promise.all(Array.from({ length: 10 }, () => site()))
  let running = 0
  let most = 0
  await using days = new Days({
    sign: async (request, signal) => {
      most = Math.max(most, ++running)
      await setImmediate()
      running--
      const { signer } = sites.find(({ credential }) => credential.keyId === request.keyId) as Site
      return signer.sign(request, signal)
    },
  })
  for (const { credential } of sites) days.manager.add(credential)
  for (let turn = 0; turn < 20; turn++) await setImmediate()
  assert.deepEqual([most, days.issued.length], [4, 10])
})

test('the last one ends with its certificate, and none is made for a certificate that is about to end', async () => {
  const { credential, signer } = await site({ notAfter: new Date(start + 20 * HOUR) })
  await using days = new Days(signer)
  days.manager.add(credential)
  await days.pass(30 * HOUR)
  assert.equal(days.requests.length, 1)
  assert.ok(days.issued.every((expiresAtMs) => expiresAtMs <= credential.notAfterMs))
  const ending = await site({ notAfter: new Date(days.now + HOUR / 2) })
  days.manager.add(ending.credential)
  await days.pass(0)
  assert.deepEqual([days.requests.length, days.errors.length], [1, 0])
})

test('what was removed is not served, also when its signature comes later', async () => {
  const { credential, signer } = await site()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  await using days = new Days({
    sign: async (request, signal) => {
      await released
      return signer.sign(request, signal)
    },
  })
  days.manager.add(credential)
  days.manager.remove(credential)
  release()
  await days.pass(0)
  assert.deepEqual([days.manager.current(credential), days.issued], [[], []])
})

test('dispose ends what was asked for, and nothing comes after', async () => {
  const { credential } = await site()
  let aborted = false
  const days = new Days({
    sign: (_request, signal) => {
      signal.addEventListener('abort', () => (aborted = true))
      return new Promise<never>(() => {})
    },
  })
  days.manager.add(credential)
  await days.manager[Symbol.asyncDispose]()
  await days.manager[Symbol.asyncDispose]()
  assert.ok(aborted)
  await days.pass(24 * HOUR)
  assert.deepEqual([days.requests.length, days.errors, days.manager.current(credential)], [1, [], []])
})

test('a certificate that is not for delegation is refused when it is added', async () => {
  const { credential, signer } = await site({ isDelegation: false })
  await using days = new Days(signer)
  assert.throws(() => days.manager.add(credential), { code: 'ERR_TLS_CREDENTIAL', detail: /DelegationUsage/ })
  assert.equal(days.requests.length, 0)
})

test('there is a most of certificates', async () => {
  const { credential } = await site()
  await using days = new Days({ sign: () => new Promise<never>(() => {}) })
  for (let count = 0; count < MAX_DELEGATING; count++) days.manager.add({ ...credential })
  assert.throws(() => days.manager.add(credential), RangeError)
})

test('a certificate with an RSA key delegates only if it is allowed to', async () => {
  const { credential, signer } = await site({ keyAlgorithm: 'rsa-2048' })
  await using careful = new Days(signer)
  assert.throws(() => careful.manager.add(credential), { code: 'ERR_TLS_CREDENTIAL', detail: /allowRsa/ })
  await using days = new Days(signer, { allowRsa: true })
  days.manager.add(credential)
  await days.pass(0)
  assert.equal(days.manager.current(credential)[0]?.algorithm, 'rsa_pss_rsae_sha256')
})

test('lifetimes are three hours to seven days', () => {
  const signer = createLocalSigner([])
  for (const lifetimeMs of [0, 3 * HOUR - 1, 7 * 24 * HOUR + 1, Number.NaN])
    assert.throws(() => new DelegatedCredentials({ signer, lifetimeMs }), RangeError)
  for (const lifetimeMs of [3 * HOUR, 7 * 24 * HOUR])
    assert.ok(new DelegatedCredentials({ signer, lifetimeMs }) instanceof DelegatedCredentials)
})

for (const scheme of ['ecdsa_secp384r1_sha384', 'ed25519'] as const) {
  test(`delegated keys may be for ${scheme}`, async () => {
    const { credential, signer } = await site({ keyAlgorithm: 'ecdsa-p384' })
    await using days = new Days(signer, { scheme })
    days.manager.add(credential)
    await days.pass(0)
    const [delegated] = days.manager.current(credential)
    assert.deepEqual([delegated?.scheme, delegated?.algorithm], [scheme, 'ecdsa_secp384r1_sha384'])
  })
}

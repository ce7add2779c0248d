// A second module that has nothing in common with the first: a TPM 2.0, by swtpm and tpm2-pkcs11. It has few contexts, its
// module answers CKR_GENERAL_ERROR to most of what goes wrong, and it knows no RSASSA-PSS.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { KeysError, PrivateKey } from '@latchkey/keys'
import { keyStoreContract } from '@latchkey/keys/contract'
import { proveKey } from '@latchkey/keys/driver'
import { openKeyStore } from '@latchkey/keys-pkcs11'
import { Tpm, tpmModule } from './support/tpm.ts'

const module = tpmModule()
const skip = module === undefined ? 'swtpm, libtpm2-pkcs11-1 and opensc are not installed' : false
const BACK_WITHIN_MS = 40_000

let tpm: Tpm
async function start(): Promise<Tpm> {
  const started = await Tpm.start(module as string)
  Object.assign(process.env, started.env)
  started.generate('EC:prime256v1', 'p256', '01')
  started.generate('EC:secp384r1', 'p384', '02')
  started.generate('rsa:2048', 'rsa', '03')
  return started
}
before(async () => {
  if (skip === false) tpm = await start()
})
after(async () => {
  if (skip === false) await tpm[Symbol.asyncDispose]()
})

if (skip === false) {
  keyStoreContract('TPM 2.0', async () => {
    const store = await openKeyStore([{ uri: tpm.uri() }], {})
    return { store, publicKeys: [...store.list()].map(({ publicKey }) => publicKey) }
  })
}

test('RSA of a TPM can do TLS 1.3: what its module does not pad is padded here', { skip }, async () => {
  await using store = await openKeyStore([{ uri: tpm.uri('rsa') }], {})
  const [key] = store.list()
  assert.ok(key?.algorithms.has('rsa_pss_sha256'))
  assert.equal(store.health()[0]?.state, 'up')
})

// Without a resource manager a TPM has room for three keys, their parent among them, and for one operation at a time.
test('sixteen callers', { skip }, async () => {
  await using store = await openKeyStore(
    ['p256', 'rsa'].map((name) => ({ uri: tpm.uri(name), maxInFlight: 1, timeoutMs: 20_000 })),
    {},
  )
  const keys = [...store.list()] as PrivateKey[]
  await Promise.all(Array.from({ length: 16 }, (_, n) => proveKey(keys[n % keys.length] as PrivateKey)))
})

test('the TPM is gone and comes back: signatures again, without a restart', { skip }, async () => {
  const steps: string[] = []
  await using store = await openKeyStore([{ uri: tpm.uri() }], {
    observer: { recovered: (_, step) => steps.push(step) },
  })
  const keys = [...store.list()] as PrivateKey[]
  for (const key of keys) await proveKey(key)

  await tpm.powerOff()
  const [key] = keys as [PrivateKey]
  await assert.rejects(sign(key), (error: KeysError) => error.isTransient)
  // Whoever asks now is told at once: another key server may be asked.
  const startedAt = performance.now()
  await assert.rejects(sign(key), (error: KeysError) => error.isTransient)
  assert.ok(performance.now() - startedAt < 1500)
  assert.equal(store.health()[0]?.state, 'down')

  await tpm.powerOn()
  Object.assign(process.env, tpm.env)
  const until = performance.now() + BACK_WITHIN_MS
  while (store.health()[0]?.state !== 'up' && performance.now() < until) await delay(100)
  assert.equal(store.health()[0]?.state, 'up')
  for (const each of keys) await proveKey(each)
  assert.ok(steps.length > 0)
})

async function sign(key: PrivateKey): Promise<Uint8Array> {
  return key.sign(key.keyType === 'rsa' ? 'rsa_pkcs1_sha256' : 'ecdsa_sha256', randomBytes(32))
}

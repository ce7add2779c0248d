// The recorded test keys, loaded by the real key package, and keys that answer when a test says so.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import {
  type KeyStore,
  type KeyType,
  loadPrivateKey,
  type MaybePromise,
  type PrivateKey,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
} from '@latchkey/keys'
import recorded from '../vectors/exchanges.json' with { type: 'json' }

export type TestKeyName = 'rsa2048' | 'p256' | 'p384' | 'p521' | 'ed25519'

/** Loads one of the recorded keys. */
export function testKey(name: TestKeyName): PrivateKey {
  return loadPrivateKey(Buffer.from(recordedKey(name).testOnlyPkcs8DerHex, 'hex'), {
    source: `test key ${name}`,
  })
}

function recordedKey(name: TestKeyName): (typeof recorded.testKeys)[number] {
  const key = recorded.testKeys.find((each) => each.name === name)
  if (key === undefined) throw new Error(`no test key ${name}`)
  return key
}

/** A store of `keys` that finds at once. */
export function storeOf(...keys: readonly PrivateKey[]): Pick<KeyStore, 'find'> {
  const bySki = new Map(keys.map((key) => [key.ski.toHex(), key]))
  return { find: (ski) => bySki.get(ski.toHex()) }
}

interface Question {
  readonly algorithm: SignatureAlgorithm
  readonly input: Uint8Array
  readonly signal: AbortSignal | undefined
  readonly answer: (signature: Uint8Array) => void
  readonly fail: (error: Error) => void
}

/** A key far away: each signature waits until the test answers it. */
export class RemoteKey implements PrivateKey {
  readonly ski: Uint8Array
  readonly keyType: KeyType = 'ec'
  readonly publicKey
  readonly algorithms: ReadonlySet<SignatureAlgorithm> = new Set(
    (Object.keys(SIGNATURE_ALGORITHMS) as SignatureAlgorithm[]).filter((name) => name.startsWith('ecdsa')),
  )
  readonly source = 'test'
  /** In order of arrival. */
  readonly questions: Question[] = []
  #waiting: { count: number; resolve: () => void }[] = []

  constructor(ski: Uint8Array = new Uint8Array(20).fill(7)) {
    this.ski = ski
    const pkcs8 = Buffer.from(recordedKey('p256').testOnlyPkcs8DerHex, 'hex')
    this.publicKey = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }))
  }

  sign(
    algorithm: SignatureAlgorithm,
    input: Uint8Array,
    { signal }: { signal?: AbortSignal } = {},
  ): MaybePromise<Uint8Array> {
    const { promise, resolve: answer, reject: fail } = Promise.withResolvers<Uint8Array>()
    this.questions.push({ algorithm, input, signal, answer, fail })
    this.#waiting = this.#waiting.filter(({ count, resolve }) => {
      if (this.questions.length < count) return true
      resolve()
      return false
    })
    return promise
  }

  /** Resolves when `count` signatures have been asked for in all. */
  asked(count: number): Promise<void> {
    if (this.questions.length >= count) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push({ count, resolve })
    return promise
  }
}

// What every KeyStore owes its callers, whatever holds the keys. A driver's test calls this with a way to open one.
import assert from 'node:assert/strict'
import { constants, createHash, type KeyObject, randomBytes, verify } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import {
  type KeyStore,
  type PrivateKey,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
} from '../src/private-key.ts'
import { rsaModulus, subjectKeyIdentifier } from '../src/ski.ts'
import { rawRsaPublic, verifyDigest } from './verify-digest.ts'

/** A store and the public halves of exactly the keys it holds. */
export interface OpenedStore {
  readonly store: KeyStore
  readonly publicKeys: readonly KeyObject[]
}

/** Registers the contract's tests under `name`; the store is opened once, and disposed at the end. */
export function keyStoreContract(name: string, open: () => Promise<OpenedStore>): void {
  describe(`key store contract: ${name}`, () => {
    let opened: OpenedStore
    before(async () => {
      opened = await open()
    })
    after(async () => {
      await opened.store[Symbol.asyncDispose]()
      await opened.store[Symbol.asyncDispose]() // twice is harmless
    })

    it('finds each key by the SKI of its public half', async () => {
      for (const publicKey of opened.publicKeys) {
        const ski = subjectKeyIdentifier(publicKey)
        const key = await opened.store.find(ski)
        assert.ok(key !== undefined)
        assert.deepEqual(new Uint8Array(key.ski), ski)
        assert.ok(key.publicKey.equals(publicKey))
        assert.notEqual(key.source, '')
      }
    })

    it('has no key under any other SKI, of whatever length', async () => {
      const [first] = opened.publicKeys
      assert.ok(first !== undefined)
      const ski = subjectKeyIdentifier(first)
      const flipped = ski.slice()
      flipped[19] = (flipped[19] as number) ^ 1
      for (const other of [
        new Uint8Array(20),
        flipped,
        ski.subarray(0, 19),
        Buffer.concat([ski, ski]),
        new Uint8Array(),
      ]) {
        assert.equal(await opened.store.find(other), undefined)
      }
    })

    it('does not keep the array it is asked with', async () => {
      const [first] = opened.publicKeys
      assert.ok(first !== undefined)
      const ski = subjectKeyIdentifier(first)
      const key = await opened.store.find(ski)
      ski.fill(0)
      assert.deepEqual(key && new Uint8Array(key.ski), subjectKeyIdentifier(first))
    })

    it('lists exactly its keys', () => {
      const skis = (keys: Iterable<{ ski: Uint8Array }>): string[] =>
        Array.from(keys, ({ ski }) => Buffer.from(ski).toString('hex')).sort()
      const expected = opened.publicKeys.map((key) => ({ ski: subjectKeyIdentifier(key) }))
      assert.deepEqual(skis(opened.store.list()), skis(expected))
    })

    it('says the type of a key, and offers only operations of that type', () => {
      for (const key of opened.store.list()) {
        assert.equal(key.publicKey.asymmetricKeyType, key.keyType)
        assert.ok(key.algorithms.size > 0)
        for (const algorithm of key.algorithms) {
          assert.equal(SIGNATURE_ALGORITHMS[algorithm].keyType, key.keyType)
        }
      }
    })

    it('signs with every algorithm it offers: random, all-zero and all-one digests', async () => {
      await forEachAlgorithm(opened.store, async (key, algorithm) => {
        const length = SIGNATURE_ALGORITHMS[algorithm].digestBytes ?? 130
        for (const input of [randomBytes(length), Buffer.alloc(length), Buffer.alloc(length, 0xff)]) {
          const signature = await key.sign(algorithm, input)
          assert.ok(verifyDigest(key.publicKey, algorithm, input, signature), `${key.source} ${algorithm}`)
        }
      })
    })

    it('makes signatures that verify for that digest and that signature only', async () => {
      await forEachAlgorithm(opened.store, async (key, algorithm) => {
        const input = randomBytes(SIGNATURE_ALGORITHMS[algorithm].digestBytes ?? 64)
        const signature = Buffer.from(await key.sign(algorithm, input))
        const otherInput = Buffer.from(input)
        otherInput[0] = (otherInput[0] as number) ^ 0x80
        assert.ok(!verifyDigest(key.publicKey, algorithm, otherInput, signature))
        for (const at of [signature.length >> 1, signature.length - 1]) {
          const bent = Buffer.from(signature)
          bent[at] = (bent[at] as number) ^ 1
          assert.ok(!verifyDigest(key.publicKey, algorithm, input, bent))
        }
      })
    })

    it('hands out signatures that later ones do not overwrite', async () => {
      await forEachAlgorithm(opened.store, async (key, algorithm) => {
        const length = SIGNATURE_ALGORITHMS[algorithm].digestBytes ?? 32
        const inputs = Array.from({ length: 3 }, () => randomBytes(length))
        const signatures = await Promise.all(inputs.map(async (input) => key.sign(algorithm, input)))
        for (const [index, input] of inputs.entries()) {
          assert.ok(verifyDigest(key.publicKey, algorithm, input, signatures[index] as Uint8Array))
        }
      })
    })

    it('reads a digest that is a view into other bytes', async () => {
      await forEachAlgorithm(opened.store, async (key, algorithm) => {
        const length = SIGNATURE_ALGORITHMS[algorithm].digestBytes ?? 32
        const input = new Uint8Array(randomBytes(length + 9)).subarray(5, 5 + length)
        assert.ok(verifyDigest(key.publicKey, algorithm, input, await key.sign(algorithm, input)))
      })
    })

    it('refuses a digest of any other length', async () => {
      await forEachAlgorithm(opened.store, async (key, algorithm) => {
        const length = SIGNATURE_ALGORITHMS[algorithm].digestBytes
        if (length === undefined) return
        for (const wrong of [0, 1, length - 1, length + 1, 1000]) {
          await refused('ERR_KEYS_DIGEST_LENGTH', () => key.sign(algorithm, new Uint8Array(wrong)))
        }
      })
    })

    it('refuses operations that it does not offer', async () => {
      for (const key of opened.store.list()) {
        for (const algorithm of Object.keys(SIGNATURE_ALGORITHMS) as SignatureAlgorithm[]) {
          if (key.algorithms.has(algorithm)) continue
          const input = new Uint8Array(SIGNATURE_ALGORITHMS[algorithm].digestBytes ?? 32)
          await refused('ERR_KEYS_ALGORITHM', () => key.sign(algorithm, input))
        }
        await refused('ERR_KEYS_ALGORITHM', () =>
          key.sign('constructor' as SignatureAlgorithm, new Uint8Array(32)),
        )
      }
    })

    it('does not start for a caller who has gone', async () => {
      const reason = new Error('the client went away')
      await forEachAlgorithm(opened.store, async (key, algorithm) => {
        const input = new Uint8Array(SIGNATURE_ALGORITHMS[algorithm].digestBytes ?? 32)
        await assert.rejects(
          async () => key.sign(algorithm, input, { signal: AbortSignal.abort(reason) }),
          reason,
        )
      })
    })

    it('signs Ed25519 messages from nothing to 60,000 bytes', async () => {
      for (const key of opened.store.list()) {
        if (!key.algorithms.has('ed25519')) continue
        for (const message of [new Uint8Array(), Buffer.alloc(1, 7), randomBytes(60_000)]) {
          const signature = await key.sign('ed25519', message)
          assert.equal(signature.length, 64)
          assert.ok(verifyDigest(key.publicKey, 'ed25519', message, signature))
        }
      }
    })

    it('offers raw decryption for RSA keys only', () => {
      for (const key of opened.store.list()) {
        if (key.keyType !== 'rsa') assert.ok(key.decryptRaw === undefined)
      }
    })

    it('decrypts to exactly k bytes, padding in place, for every number below the modulus', async () => {
      for (const { key, decrypt, modulus } of decryptors(opened.store)) {
        const below = integerBytes(toInteger(modulus) - 1n, modulus.length)
        const inRange = randomBytes(modulus.length)
        inRange[0] = 0
        for (const ciphertext of [integerBytes(2n, modulus.length), inRange, below]) {
          const plaintext = await decrypt(ciphertext)
          assert.equal(plaintext.length, modulus.length)
          assert.deepEqual(Buffer.from(rawRsaPublic(key.publicKey, plaintext) ?? []), Buffer.from(ciphertext))
        }
      }
    })

    it('decrypts to the same shape whatever the padding looks like', async () => {
      for (const { key, decrypt, modulus } of decryptors(opened.store)) {
        const k = modulus.length
        const good = Buffer.concat([
          Buffer.of(0, 2),
          Buffer.alloc(k - 51, 0x55),
          Buffer.of(0),
          Buffer.alloc(48, 3),
        ])
        const bad = Buffer.from(good).fill(0xff, 1, 2)
        const unterminated = Buffer.from(good).fill(0x55, k - 49, k - 48)
        const leadingZeros = Buffer.concat([Buffer.alloc(9), Buffer.alloc(k - 9, 9)])
        for (const block of [good, bad, unterminated, leadingZeros, Buffer.alloc(k)]) {
          const ciphertext = rawRsaPublic(key.publicKey, block)
          assert.ok(ciphertext !== undefined)
          assert.deepEqual(Buffer.from(await decrypt(ciphertext)), block)
        }
      }
    })

    it('reads a ciphertext as an integer: 0, 1, n, short, empty, zeros in front', async () => {
      for (const { decrypt, modulus } of decryptors(opened.store)) {
        const k = modulus.length
        const n = toInteger(modulus)
        const results: [Uint8Array, bigint][] = [
          [new Uint8Array(), 0n],
          [new Uint8Array(k), 0n],
          [new Uint8Array(k + 40), 0n],
          [modulus, 0n],
          [Buffer.concat([Buffer.alloc(3), modulus]), 0n],
          [Buffer.of(1), 1n],
          [integerBytes(1n, k), 1n],
          [integerBytes(1n, k + 1), 1n],
          [integerBytes(n - 1n, k), n - 1n],
        ]
        for (const [ciphertext, expected] of results) {
          const plaintext = await decrypt(ciphertext)
          assert.deepEqual(Buffer.from(plaintext), Buffer.from(integerBytes(expected, k)))
        }
      }
    })

    it('refuses a ciphertext above the modulus', async () => {
      for (const { decrypt, modulus } of decryptors(opened.store)) {
        const k = modulus.length
        const n = toInteger(modulus)
        for (const ciphertext of [
          integerBytes(n + 1n, k),
          Buffer.alloc(k, 0xff),
          Buffer.concat([Buffer.of(1), Buffer.alloc(k)]),
          Buffer.concat([Buffer.alloc(2), Buffer.alloc(k, 0xff)]),
          Buffer.alloc(65_000, 0xff),
        ]) {
          await refused('ERR_KEYS_CRYPTO', () => decrypt(ciphertext))
        }
        const fitting = integerBytes(2n, k)
        assert.equal((await decrypt(fitting)).length, k, 'a refusal leaves the key usable')
      }
    })

    it('decrypts into memory that nobody else has, so that the caller can wipe it', async () => {
      for (const { decrypt, modulus } of decryptors(opened.store)) {
        const ciphertext = integerBytes(2n, modulus.length)
        const first = await decrypt(ciphertext)
        const second = await decrypt(ciphertext)
        assert.equal(first.buffer.byteLength, first.length)
        first.fill(0)
        assert.ok(second.some((byte) => byte !== 0))
      }
    })

    it('does not decrypt for a caller who has gone', async () => {
      const reason = new Error('the client went away')
      for (const key of opened.store.list()) {
        if (key.decryptRaw === undefined) continue
        await assert.rejects(
          async () => key.decryptRaw?.(new Uint8Array(1), { signal: AbortSignal.abort(reason) }),
          reason,
        )
      }
    })

    it('signs what node:crypto verifies as a message', async () => {
      const message = randomBytes(200)
      await forEachAlgorithm(opened.store, async (key, algorithm) => {
        const { hash } = SIGNATURE_ALGORITHMS[algorithm]
        if (hash === 'md5-sha1') return // not a hash of messages any more
        const input = hash === undefined ? message : createHash(hash).update(message).digest()
        const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
        const publicKey = { key: key.publicKey, ...(algorithm.startsWith('rsa_pss_') ? pss : {}) }
        assert.ok(verify(hash ?? null, message, publicKey, await key.sign(algorithm, input)))
      })
    })
  })
}

async function forEachAlgorithm(
  store: KeyStore,
  body: (key: PrivateKey, algorithm: SignatureAlgorithm) => Promise<void>,
): Promise<void> {
  for (const key of store.list()) {
    for (const algorithm of key.algorithms) await body(key, algorithm)
  }
}

async function refused(code: string, action: () => unknown): Promise<void> {
  await assert.rejects(async () => action(), { name: 'KeysError', code })
}

interface Decryptor {
  readonly key: PrivateKey
  readonly modulus: Uint8Array
  readonly decrypt: (ciphertext: Uint8Array) => Promise<Uint8Array>
}

function decryptors(store: KeyStore): Decryptor[] {
  return Array.from(store.list()).flatMap((key) =>
    key.decryptRaw === undefined
      ? []
      : [
          {
            key,
            modulus: rsaModulus(key.publicKey),
            decrypt: async (ciphertext) => key.decryptRaw?.(ciphertext) ?? new Uint8Array(),
          },
        ],
  )
}

function toInteger(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

function integerBytes(value: bigint, length: number): Uint8Array {
  return Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex')
}

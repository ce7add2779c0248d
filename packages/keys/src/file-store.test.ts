import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { createLogger, type Logger } from '@latchkey/core'
import { fromHex, GOLDEN_KEYS, goldenKeyObject, goldenPem } from '../test/support/golden-keys.ts'
import { temporaryDirectory } from '../test/support/temporary-directory.ts'
import { openFileStore } from './file-store.ts'

const SKI = Object.fromEntries(GOLDEN_KEYS.map(({ name, ski }) => [name, fromHex(ski)])) as Record<
  'p256' | 'p384' | 'rsa2048',
  Uint8Array
>
const DIGEST = new Uint8Array(32).fill(9)

/** PKCS#8 in DER, which ends with the public point. */
function freshP256(): Buffer {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return privateKey.export({ type: 'pkcs8', format: 'der' })
}

function recorder(): { lines: string[]; logger: Logger } {
  const lines: string[] = []
  return { lines, logger: createLogger(({ level, text }) => lines.push(`${level} ${text}`), 'debug') }
}

describe('openFileStore', () => {
  it('loads directories and files, and says so in lines that operators know', async () => {
    await using directory = await temporaryDirectory()
    const first = await directory.write('keys/a.key', goldenPem('p256'))
    const second = await directory.write('site.pem', goldenPem('p384'))
    const { lines, logger } = recorder()
    await using store = await openFileStore([{ dir: join(directory.path, 'keys') }, { file: second }], {
      logger,
    })
    assert.equal(store.size, 2)
    assert.equal(store.find(SKI.p256)?.source, first)
    assert.equal(store.find(SKI.p384)?.source, second)
    assert.equal(store.find(SKI.rsa2048), undefined)
    assert.deepEqual(lines, [
      `info loading ${join(directory.path, 'keys')}...`,
      `info loading ${first}...`,
      'debug add signer with SKI: a5403f6cb29e8e35a92f2df102f5d47ea884de21 (https://crt.sh/?ski=a5403f6cb29e8e35a92f2df102f5d47ea884de21)',
      `info loading ${second}...`,
      'debug add signer with SKI: ddaeed222b00cea0952bd7ed23a06cfc18f582c6 (https://crt.sh/?ski=ddaeed222b00cea0952bd7ed23a06cfc18f582c6)',
    ])
  })

  it('uses the later of two equal keys, and warns', async () => {
    await using directory = await temporaryDirectory()
    const first = await directory.write('a.key', goldenPem('p256'))
    const second = await directory.write('b.key', goldenPem('p256'))
    const { lines, logger } = recorder()
    await using store = await openFileStore([{ dir: directory.path }], { logger })
    assert.equal(store.size, 1)
    assert.equal(store.find(SKI.p256)?.source, second)
    assert.ok(lines.includes(`warning ${second}: the same key as in ${first}; the later one is used`))
    assert.ok(store.find(SKI.p256)?.sign('ecdsa_sha256', DIGEST))
  })

  it('warns when there is no key at all', async () => {
    await using directory = await temporaryDirectory()
    for (const [entries, where] of [
      [[], 'an empty list of stores'],
      [[{ dir: directory.path }], directory.path],
    ] as const) {
      const { lines, logger } = recorder()
      await using store = await openFileStore(entries, { logger })
      assert.equal(store.size, 0)
      assert.equal(lines.at(-1), `warning no private key found in ${where}`)
    }
  })

  it('fails on the first bad file, or skips those of a directory if told so', async () => {
    await using directory = await temporaryDirectory()
    const bad = await directory.write('keys/bad.key', 'garbage')
    await directory.write('keys/good.key', goldenPem('p256'))
    const dir = join(directory.path, 'keys')
    await assert.rejects(openFileStore([{ dir }]), { code: 'ERR_KEYS_FORMAT', path: bad })

    const { lines, logger } = recorder()
    await using store = await openFileStore([{ dir }], { logger, skipBadFiles: true })
    assert.equal(store.size, 1)
    const skipped = lines.filter((line) => line.startsWith('error '))
    assert.equal(skipped.length, 1)
    assert.match(
      skipped[0] as string,
      /^error skipped .*bad\.key: no private key found: .*neither PEM nor DER/,
    )

    await assert.rejects(openFileStore([{ file: bad }], { skipBadFiles: true }), { code: 'ERR_KEYS_FORMAT' })
    await assert.rejects(openFileStore([{ dir: join(dir, 'missing') }], { skipBadFiles: true }), {
      code: 'ERR_KEYS_UNREADABLE',
    })
  })

  it('proves its share of the keys, and all of them together prove all', async () => {
    await using directory = await temporaryDirectory()
    // Two halves of different keys: the scalar of one, the public point of another.
    const mixed = freshP256()
    freshP256()
      .subarray(-64)
      .copy(mixed, mixed.length - 64)
    for (const name of ['a', 'b', 'c']) await directory.write(`${name}.key`, freshP256())
    await directory.write('d.key', mixed)
    const outcomes = await Promise.allSettled(
      [0, 1, 2].map((index) => openFileStore([{ dir: directory.path }], { share: { index, count: 3 } })),
    )
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'opened')),
      ['ERR_KEYS_MISMATCH', 'opened', 'opened'],
    )
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') await outcome.value[Symbol.asyncDispose]()
    }
  })

  it('opens encrypted keys with the passphrase file of the entry', async () => {
    await using directory = await temporaryDirectory()
    const pem = goldenKeyObject('p256').export({
      type: 'sec1',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'shared',
    })
    await directory.write('keys/a.key', pem)
    const passphraseFile = await directory.write('passphrase', 'shared\n')
    await using store = await openFileStore([{ dir: join(directory.path, 'keys'), passphraseFile }])
    assert.equal(store.size, 1)
  })

  it('stops when it is told to', async () => {
    await using directory = await temporaryDirectory()
    await directory.write('a.key', goldenPem('p256'))
    const reason = new Error('enough')
    const signal = AbortSignal.abort(reason)
    await assert.rejects(openFileStore([{ dir: directory.path }], { signal }), reason)
    await assert.rejects(openFileStore([{ file: join(directory.path, 'a.key') }], { signal }), reason)
  })

  it('frees its keys when it is disposed, and then has none', async () => {
    await using directory = await temporaryDirectory()
    await directory.write('a.key', goldenPem('p256'))
    const store = await openFileStore([{ dir: directory.path }])
    const key = store.find(SKI.p256)
    await store[Symbol.asyncDispose]()
    await store[Symbol.asyncDispose]()
    assert.equal(store.find(SKI.p256), undefined)
    assert.equal([...store.list()].length, 0)
    assert.throws(() => key?.sign('ecdsa_sha256', DIGEST), { code: 'ERR_KEYS_DISPOSED' })
    await assert.rejects(store.reload(), { code: 'ERR_KEYS_DISPOSED' })
  })
})

describe('FileStore.reload', () => {
  it('adds, removes and keeps; a kept key stays usable, a removed one is freed', async () => {
    await using directory = await temporaryDirectory()
    await directory.write('kept.key', goldenPem('p256'))
    await directory.write('moved.key', goldenPem('rsa2048'))
    const removed = await directory.write('removed.key', goldenPem('p384'))
    await using store = await openFileStore([{ dir: directory.path }])
    const before = { p256: store.find(SKI.p256), p384: store.find(SKI.p384), rsa: store.find(SKI.rsa2048) }

    await rm(removed)
    await directory.write('added.key', goldenPem('ed25519'))
    await rename(join(directory.path, 'moved.key'), join(directory.path, 'there.key'))
    assert.deepEqual(await store.reload(), { added: 1, removed: 1, kept: 2 })

    assert.equal(store.find(SKI.p256), before.p256)
    assert.equal(store.find(SKI.rsa2048)?.source, join(directory.path, 'there.key'))
    assert.equal(before.rsa?.sign('rsa_pkcs1_sha256', DIGEST).length, 256)
    assert.equal(store.find(SKI.p384), undefined)
    assert.throws(() => before.p384?.sign('ecdsa_sha256', DIGEST), { code: 'ERR_KEYS_DISPOSED' })
    assert.equal(store.size, 3)
    assert.deepEqual(await store.reload(), { added: 0, removed: 0, kept: 3 })
  })

  it('keeps the old set if anything fails', async () => {
    await using directory = await temporaryDirectory()
    await directory.write('a.key', goldenPem('p256'))
    await using store = await openFileStore([{ dir: directory.path }])
    const bad = await directory.write('b.key', 'garbage')
    await assert.rejects(store.reload(), { code: 'ERR_KEYS_FORMAT', path: bad })
    assert.ok(store.find(SKI.p256)?.sign('ecdsa_sha256', DIGEST))
    await rm(bad)
    assert.deepEqual(await store.reload(), { added: 0, removed: 0, kept: 1 })
  })

  it('does one more reload for all calls that come during one', async () => {
    await using directory = await temporaryDirectory()
    const path = await directory.write('a.key', goldenPem('p256'))
    const { lines, logger } = recorder()
    await using store = await openFileStore([{ file: path }], { logger })
    const loads = (): number => lines.filter((line) => line === `info loading ${path}...`).length
    for (const expected of [3, 5]) {
      const calls = Array.from({ length: 5 }, () => store.reload())
      assert.equal(new Set(calls).size, 2)
      await Promise.all(calls)
      assert.equal(loads(), expected)
    }
    await store.reload()
    assert.equal(loads(), 6)
  })

  it('reloads for those who waited behind a reload that failed', async () => {
    await using directory = await temporaryDirectory()
    const path = await directory.write('a.key', goldenPem('p256'))
    let loads = 0
    const logger = createLogger(({ text }) => {
      // Repaired just before the third loading: the opening, the reload that fails, the one that waited.
      if (text === `loading ${path}...` && ++loads === 3) writeFileSync(path, goldenPem('p384'))
    })
    await using store = await openFileStore([{ file: path }], { logger })
    await directory.write('a.key', 'garbage', 0o600)
    const failing = store.reload()
    const waiting = store.reload()
    await assert.rejects(failing, { code: 'ERR_KEYS_FORMAT' })
    assert.deepEqual(await waiting, { added: 1, removed: 1, kept: 0 })
  })

  it('in two halves: nothing changes before the second, and without it nothing at all', async () => {
    await using directory = await temporaryDirectory()
    await directory.write('a.key', goldenPem('p256'))
    await using store = await openFileStore([{ dir: directory.path }])
    await directory.write('b.key', goldenPem('p384'))
    {
      using _forgotten = await store.prepareReload()
      assert.equal(store.size, 1)
    }
    assert.equal(store.find(SKI.p384), undefined)
    using prepared = await store.prepareReload()
    assert.deepEqual(prepared.commit(), { added: 1, removed: 0, kept: 1 })
    assert.equal(store.find(SKI.p384)?.sign('ecdsa_sha256', DIGEST).length !== 0, true)
    using late = await store.prepareReload()
    await store[Symbol.asyncDispose]()
    assert.throws(() => late.commit(), { code: 'ERR_KEYS_DISPOSED' })
  })

  it('gives way to dispose', async () => {
    await using directory = await temporaryDirectory()
    await directory.write('a.key', goldenPem('p256'))
    const store = await openFileStore([{ dir: directory.path }])
    const outcomes = Promise.allSettled([store.reload(), store.reload()])
    await store[Symbol.asyncDispose]()
    for (const outcome of await outcomes) {
      assert.equal(outcome.status, 'rejected')
      assert.equal((outcome.reason as { code?: string }).code, 'ERR_KEYS_DISPOSED')
    }
    assert.equal(store.size, 0)
  })
})

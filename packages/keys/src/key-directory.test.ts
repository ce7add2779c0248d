import assert from 'node:assert/strict'
import { mkdir, symlink } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { describe, it } from 'node:test'
import { createLogger, silentLogger } from '@latchkey/core'
import { temporaryDirectory, type TemporaryDirectory } from '../test/support/temporary-directory.ts'
import { findKeyFiles } from './key-directory.ts'

async function found(directory: TemporaryDirectory, root = directory.path): Promise<string[]> {
  const files = await findKeyFiles(root, { logger: silentLogger })
  return files.map((file) => relative(root, file))
}

describe('findKeyFiles', () => {
  it('takes names that end in .key, in all directories, in order', async () => {
    await using directory = await temporaryDirectory()
    for (const name of [
      'b.key',
      'a.key',
      '.hidden.key',
      'sub/deep/c.key',
      'sub/B.key',
      'x\ny.key',
      'a.key.key',
    ]) {
      await directory.write(name, '')
    }
    for (const name of ['.key', 'akey', 'a.KEY', 'a.key.bak', 'a.keystore', 'a.key.passphrase', 'a.pem']) {
      await directory.write(name, '')
    }
    assert.deepEqual(await found(directory), [
      '.hidden.key',
      'a.key',
      'a.key.key',
      'b.key',
      'sub/B.key',
      'sub/deep/c.key',
      'x\ny.key',
    ])
  })

  it('says which files another key server would have taken', async () => {
    await using directory = await temporaryDirectory()
    for (const name of ['c.key.bak', 'd.keystore', 'e.key.passphrase', 'f.pem'])
      await directory.write(name, '')
    const lines: string[] = []
    await findKeyFiles(directory.path, {
      logger: createLogger(({ level, text }) => lines.push(`${level} ${text}`)),
    })
    assert.deepEqual(lines, [
      `warning skipped ${join(directory.path, 'c.key.bak')}: its name does not end in ".key"`,
      `warning skipped ${join(directory.path, 'd.keystore')}: its name does not end in ".key"`,
    ])
  })

  it('follows a linked root and linked files, but not linked directories below', async () => {
    await using directory = await temporaryDirectory()
    await directory.write('real/a.key', '')
    await directory.write('elsewhere/b.key', '')
    await symlink(join(directory.path, 'elsewhere/b.key'), join(directory.path, 'real/linked.key'))
    await symlink(join(directory.path, 'elsewhere'), join(directory.path, 'real/dir'))
    await symlink(join(directory.path, 'elsewhere'), join(directory.path, 'real/dir.key'))
    await symlink(join(directory.path, 'nowhere'), join(directory.path, 'real/dangling.key'))
    await symlink(join(directory.path, 'real'), join(directory.path, 'root'))
    const expected = ['a.key', 'dangling.key', 'linked.key']
    assert.deepEqual(await found(directory, join(directory.path, 'root')), expected)
  })

  it('sees each key of a Kubernetes secret once', async () => {
    await using directory = await temporaryDirectory()
    await directory.write('..2026_11_22_06_00_00.1/tls.key', '')
    await directory.write('..2026_11_22_07_00_00.2/tls.key', '')
    await symlink('..2026_11_22_07_00_00.2', join(directory.path, '..data'))
    await symlink('..data/tls.key', join(directory.path, 'tls.key'))
    assert.deepEqual(await found(directory), ['tls.key'])
  })

  it('names a directory that is missing or is a file', async () => {
    await using directory = await temporaryDirectory()
    const file = await directory.write('a.key', '')
    for (const [path, message] of [
      [join(directory.path, 'missing'), /missing; found ENOENT; hint: .*mounted/],
      [file, /a\.key; found ENOTDIR; hint: this is a file/],
    ] as const) {
      await assert.rejects(findKeyFiles(path, { logger: silentLogger }), {
        code: 'ERR_KEYS_UNREADABLE',
        path,
        message,
      })
    }
  })

  it('goes 16 directories deep and no deeper', async () => {
    await using directory = await temporaryDirectory()
    const deepest = Array.from({ length: 16 }, () => 'd').join('/')
    await directory.write(`${deepest}/a.key`, '')
    assert.deepEqual(await found(directory), [`${deepest}/a.key`])
    await mkdir(join(directory.path, deepest, 'd'))
    await assert.rejects(found(directory), { code: 'ERR_KEYS_LIMIT', message: /more than 16 directories/ })
  })

  it('counts every name it sees, and gives up at the limit', async () => {
    await using directory = await temporaryDirectory()
    for (const name of ['a.key', 'b.txt', 'sub/c.key']) await directory.write(name, '')
    const find = (maxNames: number): Promise<string[]> =>
      findKeyFiles(directory.path, { logger: silentLogger, maxNames })
    assert.equal((await find(4)).length, 2)
    await assert.rejects(find(3), {
      code: 'ERR_KEYS_LIMIT',
      path: directory.path,
      message: /more than 3 files/,
    })
  })

  it('stops when it is told to', async () => {
    await using directory = await temporaryDirectory()
    await directory.write('a.key', '')
    const reason = new Error('enough')
    await assert.rejects(
      findKeyFiles(directory.path, { logger: silentLogger, signal: AbortSignal.abort(reason) }),
      reason,
    )
  })
})

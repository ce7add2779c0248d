import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { createLogger, silentLogger } from '@latchkey/core'
import { goldenKeyObject, goldenPem } from '../test/support/golden-keys.ts'
import { temporaryDirectory } from '../test/support/temporary-directory.ts'
import { KeysError } from './errors.ts'
import { type KeyFileOptions, loadKeyFile, MAX_KEY_FILE_BYTES } from './key-file.ts'
import { unreadable } from './secret-file.ts'

const OPTIONS: KeyFileOptions = { logger: silentLogger, allowWeakRsa: false, passphraseFile: undefined }

function encryptedPem(passphrase: string): string {
  return goldenKeyObject('p256').export({ type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase })
}

describe('loadKeyFile', () => {
  it('loads a file of any name', async () => {
    await using directory = await temporaryDirectory()
    const path = await directory.write('site.pem', goldenPem('p256'))
    using key = loadKeyFile(path, OPTIONS)
    assert.equal(key.source, path)
  })

  it('names the file it refuses', async () => {
    await using directory = await temporaryDirectory()
    const path = await directory.write('cert.key', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n')
    assert.throws(() => loadKeyFile(path, OPTIONS), {
      code: 'ERR_KEYS_FORMAT',
      path,
      message: /a certificate, not a key/,
    })
  })

  it('names a file that is missing or a directory', async () => {
    await using directory = await temporaryDirectory()
    const missing = join(directory.path, 'missing.key')
    assert.throws(() => loadKeyFile(missing, OPTIONS), {
      code: 'ERR_KEYS_UNREADABLE',
      path: missing,
      message: /found ENOENT; hint/,
    })
    assert.throws(() => loadKeyFile(directory.path, OPTIONS), {
      code: 'ERR_KEYS_UNREADABLE',
      path: directory.path,
      message: /not a regular file/,
    })
  })

  it('says what to do about a file it may not read', () => {
    const denied = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' })
    const { code, message } = unreadable('/keys/a.key', denied)
    assert.equal(code, 'ERR_KEYS_UNREADABLE')
    assert.match(message, /\/keys\/a\.key; found EACCES; hint: give the user/)
  })

  it('does not wait at a FIFO', async () => {
    await using directory = await temporaryDirectory()
    const path = join(directory.path, 'pipe.key')
    await promisify(execFile)('mkfifo', [path])
    assert.throws(() => loadKeyFile(path, OPTIONS), { code: 'ERR_KEYS_UNREADABLE', path })
  })

  it('reads a file of 1 MiB and nothing larger', async () => {
    await using directory = await temporaryDirectory()
    const padding = Buffer.alloc(MAX_KEY_FILE_BYTES - goldenPem('p256').length, '\n')
    const path = await directory.write('a.key', Buffer.concat([goldenPem('p256'), padding]), 0o600)
    using _ = loadKeyFile(path, OPTIONS)
    await truncate(path, MAX_KEY_FILE_BYTES + 1)
    assert.throws(() => loadKeyFile(path, OPTIONS), {
      code: 'ERR_KEYS_LIMIT',
      message: /found 1048577 bytes; expected at most 1048576/,
    })
  })

  for (const [mode, warned] of [
    [0o400, false],
    [0o600, false],
    [0o440, true],
    [0o604, true],
  ] as const) {
    it(`${warned ? 'warns of' : 'says nothing about'} mode ${mode.toString(8)}`, async () => {
      await using directory = await temporaryDirectory()
      const path = await directory.write('a.key', goldenPem('p256'))
      await chmod(path, mode)
      const lines: string[] = []
      const logger = createLogger(({ level, text }) => lines.push(`${level} ${text}`))
      using _ = loadKeyFile(path, { ...OPTIONS, logger })
      const line = `warning ${path}: mode 0${mode.toString(8)} lets others at this secret; hint: chmod 0400`
      assert.deepEqual(lines, warned ? [line] : [])
    })
  }
})

describe('loadKeyFile: passphrases', () => {
  for (const [name, contents] of Object.entries({
    'no line end': 'correct horse',
    'a line end': 'correct horse\n',
    'a Windows line end': 'correct horse\r\n',
    'a second line': 'correct horse\nbattery staple\n',
  })) {
    it(`takes the first line of the file beside the key: ${name}`, async () => {
      await using directory = await temporaryDirectory()
      const path = await directory.write('a.key', encryptedPem('correct horse'))
      await directory.write('a.key.passphrase', contents)
      using key = loadKeyFile(path, OPTIONS)
      assert.equal(key.keyType, 'ec')
    })
  }

  it('prefers the file it was told', async () => {
    await using directory = await temporaryDirectory()
    const path = await directory.write('a.key', encryptedPem('told'))
    await directory.write('a.key.passphrase', 'beside')
    const passphraseFile = await directory.write('secret', 'told')
    using key = loadKeyFile(path, { ...OPTIONS, passphraseFile })
    assert.equal(key.keyType, 'ec')
  })

  it('does not look at the passphrase file of a key that needs none', async () => {
    await using directory = await temporaryDirectory()
    const path = await directory.write('a.key', goldenPem('p256'))
    using key = loadKeyFile(path, { ...OPTIONS, passphraseFile: join(directory.path, 'missing') })
    assert.equal(key.keyType, 'ec')
  })

  it('refuses: no file beside the key, a told file that is missing, a wrong, an empty, a huge one', async () => {
    await using directory = await temporaryDirectory()
    const path = await directory.write('a.key', encryptedPem('right'))
    const beside = join(directory.path, 'a.key.passphrase')
    const told = join(directory.path, 'missing')
    assert.throws(() => loadKeyFile(path, OPTIONS), { code: 'ERR_KEYS_PASSPHRASE', path })
    assert.throws(() => loadKeyFile(path, { ...OPTIONS, passphraseFile: told }), {
      code: 'ERR_KEYS_UNREADABLE',
      path: told,
    })
    await directory.write('a.key.passphrase', 'wrong')
    assert.throws(
      () => loadKeyFile(path, OPTIONS),
      (error) => error instanceof KeysError && error.code === 'ERR_KEYS_PASSPHRASE' && error.path === path,
    )
    await directory.write('a.key.passphrase', '\nright')
    assert.throws(() => loadKeyFile(path, OPTIONS), { code: 'ERR_KEYS_PASSPHRASE', path })
    await directory.write('a.key.passphrase', 'x'.repeat(2000))
    assert.throws(() => loadKeyFile(path, OPTIONS), { code: 'ERR_KEYS_LIMIT', path: beside })
  })

  it('warns of a passphrase that others may read', async () => {
    await using directory = await temporaryDirectory()
    const path = await directory.write('a.key', encryptedPem('right'))
    const beside = await directory.write('a.key.passphrase', 'right', 0o644)
    await chmod(beside, 0o644)
    const lines: string[] = []
    using _ = loadKeyFile(path, { ...OPTIONS, logger: createLogger(({ text }) => lines.push(text)) })
    assert.deepEqual(lines, [`${beside}: mode 0644 lets others at this secret; hint: chmod 0400`])
  })
})

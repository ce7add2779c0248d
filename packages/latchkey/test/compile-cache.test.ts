// Where compiled code is kept, and where not: what is in there is run.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from './config-fixture.ts'
import { BIN } from './daemon.ts'

function version(env: Readonly<Record<string, string>>): string {
  const { PATH = '' } = process.env
  return execFileSync(process.execPath, [BIN, '--version'], { env: { PATH, ...env }, encoding: 'utf8' })
}

test('below the cache directory of the user, for this user alone', () => {
  using folder = temporaryFolder()
  assert.match(version({ HOME: folder.path }), /^latchkey /)
  const kept = join(folder.path, '.cache', 'latchkey')
  assert.ok(readdirSync(kept).length > 0)
  version({ XDG_CACHE_HOME: join(folder.path, 'elsewhere') })
  assert.ok(existsSync(join(folder.path, 'elsewhere', 'latchkey')))
})

test('not in a directory that others may write to, and not without a home', () => {
  using folder = temporaryFolder()
  const kept = join(folder.path, 'latchkey')
  mkdirSync(kept)
  chmodSync(kept, 0o777)
  assert.match(version({ XDG_CACHE_HOME: folder.path }), /^latchkey /)
  assert.deepEqual(readdirSync(kept), [])
  assert.match(version({ HOME: '/dev/null' }), /^latchkey /)
  assert.match(version({ HOME: folder.path, NODE_DISABLE_COMPILE_CACHE: '1' }), /^latchkey /)
  assert.ok(!existsSync(join(folder.path, '.cache')))
})

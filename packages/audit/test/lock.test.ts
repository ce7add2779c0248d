// Two writers of one chain would each overwrite the other's records: one of them must not start, and none must hang.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { lockChain } from '../src/lock.ts'

const WATCH_MS = 1000

function lockPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-lock-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return join(folder, 'audit-0.lock')
}

test('one at a time, and free again after', (t) => {
  const path = lockPath(t)
  {
    using _held = lockChain(path)
    assert.throws(() => lockChain(path), { code: 'ERR_AUDIT_LOCKED' })
  }
  assert.ok(!existsSync(path))
  using _again = lockChain(path)
})

test('what a killed process of this machine left is taken over at once', (t) => {
  const path = lockPath(t)
  const mine = lockText(path)
  writeFileSync(path, mine.replace(/^\d+ \d+/, '4194304 1'))
  const started = performance.now()
  using _held = lockChain(path, WATCH_MS)
  assert.ok(performance.now() - started < WATCH_MS / 2)
})

/** What a lock of this process says. */
function lockText(path: string): string {
  using _held = lockChain(path)
  return readFileSync(path, 'latin1')
}

test('a lock that cannot be read is an error, not a wait', (t) => {
  const path = lockPath(t)
  mkdirSync(path)
  assert.throws(() => lockChain(path), { code: 'ERR_AUDIT_DIRECTORY', message: /EISDIR/ })
})

test('a lock of another container that nobody touches is taken over after a while', (t) => {
  const path = lockPath(t)
  writeFileSync(path, `${process.pid} 1 boot/pid:[1]\n`)
  const started = performance.now()
  using _held = lockChain(path, WATCH_MS)
  assert.ok(performance.now() - started >= WATCH_MS / 2)
})

test('a lock of another container that is touched is held', async (t) => {
  const path = lockPath(t)
  writeFileSync(path, `1 1 boot/pid:[1]\n`)
  const script = 'setInterval(() => require("fs").utimesSync(process.argv[1], new Date(), new Date()), 50)'
  const toucher = spawn(process.execPath, ['-e', script, path], { stdio: 'ignore' })
  t.after(() => toucher.kill())
  await once(toucher, 'spawn')
  assert.throws(() => lockChain(path, 20 * WATCH_MS), { code: 'ERR_AUDIT_LOCKED' })
})

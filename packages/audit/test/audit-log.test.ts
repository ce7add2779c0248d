// The writer: rotation, restarts, and a disk that is full.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { AuditError, verifyAudit } from '@latchkey/audit'
import { fileOf, keyUse, linesOf, openLog, temporaryDirectory } from './support.ts'

test('records are in the file after the commit, in a file for its owner only', () => {
  using directory = temporaryDirectory()
  using log = openLog(directory.path)
  const batch = log.record(keyUse())
  assert.equal(batch.isKept, false)
  assert.equal(statSync(fileOf(directory.path)).size, 0)
  assert.equal(log.commit(), true)
  assert.equal(batch.isKept, true)
  assert.equal(linesOf(fileOf(directory.path)).length, 2)
  assert.equal(statSync(fileOf(directory.path)).mode & 0o777, 0o600)
})

test('more than a write holds is written in several', () => {
  using directory = temporaryDirectory()
  using log = openLog(directory.path)
  const batches = Array.from({ length: 3000 }, () => log.record(keyUse()))
  assert.ok(log.commit())
  assert.ok(batches.every(({ isKept }) => isKept))
  assert.equal(verifyAudit([directory.path]).chains[0]?.records, 3001)
})

test('a restart goes on with the chain', () => {
  using directory = temporaryDirectory()
  for (let start = 0; start < 3; start++) {
    using log = openLog(directory.path, { maxFileBytes: 900 })
    for (let count = 0; count < 4; count++) {
      log.record(keyUse())
      log.commit()
    }
  }
  const { isProven, chains } = verifyAudit([directory.path])
  assert.ok(isProven)
  const { records = 0, files = 0 } = chains[0] ?? {}
  assert.equal(records, 12 + files)
})

test('the oldest files are removed, and the rest is proven', () => {
  using directory = temporaryDirectory()
  {
    using log = openLog(directory.path, { maxFileBytes: 900, maxFiles: 3 })
    for (let count = 0; count < 100; count++) {
      log.record(keyUse())
      log.commit()
    }
  }
  assert.equal(readdirSync(directory.path).filter((name) => name.endsWith('.log')).length, 3)
  assert.ok(verifyAudit([directory.path]).isProven)
})

test('a next file that cannot be made is told, and records go on; then the chain goes on in it', () => {
  using directory = temporaryDirectory()
  {
    using log = openLog(directory.path, { maxFileBytes: 900 })
    const next = fileOf(directory.path).replace('000001', '000002')
    mkdirSync(next)
    for (let count = 0; count < 8; count++) {
      log.record(keyUse())
      assert.ok(log.commit())
    }
    assert.deepEqual([log.isHealthy, log.canWrite], [false, true])
    assert.match(log.failure ?? '', /EISDIR/)
    assert.throws(() => verifyAudit([directory.path]), {
      code: 'ERR_AUDIT_DIRECTORY',
      message: /000002.*EISDIR/,
    })
    rmdirSync(next)
    assert.ok(log.retry())
    assert.ok(log.isHealthy)
  }
  const { isProven, chains } = verifyAudit([directory.path])
  assert.ok(isProven)
  assert.equal(chains[0]?.files, 2)
})

test('a torn last line is cut off, and that is recorded', () => {
  for (const torn of ['{"seq":3,"ti', '\0'.repeat(100), 'x']) {
    using directory = temporaryDirectory()
    {
      using log = openLog(directory.path)
      log.record(keyUse())
    }
    appendFileSync(fileOf(directory.path), torn)
    {
      using log = openLog(directory.path)
      log.record(keyUse())
    }
    assert.ok(verifyAudit([directory.path]).isProven)
    const event = JSON.parse(linesOf(fileOf(directory.path))[2] ?? '') as Record<string, unknown>
    assert.deepEqual([event['seq'], event['event'], event['torn_bytes']], [3, 'recovered', torn.length])
  }
})

test('a file in which nothing is whole yet hangs on the one before', () => {
  using directory = temporaryDirectory()
  {
    using log = openLog(directory.path)
    log.record(keyUse())
  }
  writeFileSync(fileOf(directory.path, 2), '{"seq":3')
  {
    using log = openLog(directory.path)
    log.record(keyUse())
  }
  const { isProven, chains } = verifyAudit([directory.path])
  assert.ok(isProven)
  assert.equal(chains[0]?.lastSeq, 5) // file, recovered, use
})

test('a chain whose end was changed is not continued', () => {
  using directory = temporaryDirectory()
  {
    using log = openLog(directory.path)
    log.record(keyUse())
  }
  const path = fileOf(directory.path)
  const text = readFileSync(path, 'latin1').replace('"ok"', '"no"')
  writeFileSync(path, text)
  assert.throws(
    () => openLog(directory.path),
    (error) => error instanceof AuditError && error.code === 'ERR_AUDIT_DAMAGED',
  )
  assert.equal(readFileSync(path, 'latin1'), text)
})

test('two writers of one chain are not possible; one that is gone is in nobody’s way', () => {
  using directory = temporaryDirectory()
  const lock = join(directory.path, 'audit-0.lock')
  let namespace = ''
  {
    using _log = openLog(directory.path)
    namespace = readFileSync(lock, 'latin1').trim().split(' ')[2] ?? ''
    assert.throws(
      () => openLog(directory.path),
      (error) => error instanceof AuditError && error.code === 'ERR_AUDIT_LOCKED',
    )
  }
  const ended = spawnSync(process.execPath, ['--version']).pid
  for (const stale of [`${ended} 12345 ${namespace}\n`, `${process.pid} 1 ${namespace}\n`]) {
    writeFileSync(lock, stale)
    using log = openLog(directory.path)
    assert.ok(log.record(keyUse()))
  }
  assert.ok(verifyAudit([directory.path]).isProven)
})

test('a directory that cannot be is an error that says so', () => {
  using directory = temporaryDirectory()
  writeFileSync(join(directory.path, 'file'), '')
  assert.throws(
    () => openLog(join(directory.path, 'file')),
    (error) => error instanceof AuditError && error.code === 'ERR_AUDIT_DIRECTORY',
  )
})

test('a disk that is full: nothing is kept, the chain stays whole and goes on when there is room', () => {
  using directory = temporaryDirectory()
  const child = fileURLToPath(new URL('full-disk.ts', import.meta.url))
  const { stdout, stderr, status } = spawnSync(
    'bash',
    ['-c', `trap '' XFSZ; ulimit -S -f 16; exec "$0" "$@"`, process.execPath, child, directory.path],
    { encoding: 'utf8' },
  )
  assert.equal(status, 0, stderr)
  const told = JSON.parse(stdout) as Record<string, unknown>
  const { kept, failure } = told
  assert.ok(Number(kept) > 10)
  assert.match(String(failure), /EFBIG/)
  assert.deepEqual(told, {
    kept,
    failure,
    refused: 20,
    isHealthy: false,
    isProvenWhenFull: true,
    recordsWhenFull: Number(kept) + 1,
    isKeptAfterwards: true,
    isHealthyAfterwards: true,
  })
  assert.ok(verifyAudit([directory.path]).isProven)
  const text = readFileSync(fileOf(directory.path), 'latin1')
  assert.equal(/"event":"unwritten","count":(\d+)/.exec(text)?.[1], '20')
})

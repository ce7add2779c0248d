// A process that is killed loses no record that it has acknowledged.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { verifyAudit } from '@latchkey/audit'
import { missingRecords, recordAndKill } from './killing.ts'
import { temporaryDirectory } from './support.ts'

test('killed again and again, every acknowledged record is in the chain', async () => {
  using directory = temporaryDirectory()
  const audit = join(directory.path, 'audit')
  let afterMs = 5
  const killed = await recordAndKill(audit, join(directory.path, 'acknowledged'), {
    records: 20_000,
    killAfterMs: () => (afterMs += 7),
  })
  assert.deepEqual(missingRecords(audit, killed), [])
  const { isProven, chains } = verifyAudit([audit])
  assert.ok(isProven, JSON.stringify(chains))
})

// A process that is killed loses no record that it has acknowledged.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { verifyAudit } from '@latchkey/audit'
import { temporaryDirectory } from './support.ts'

const KILLS = 6

test('killed again and again, every acknowledged record is in the chain', async () => {
  using directory = temporaryDirectory()
  const acknowledged: string[] = []
  for (let start = 0; start < KILLS; start++) {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('record-until-killed.ts', import.meta.url)), directory.path, String(start)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let text = ''
    child.stdout.setEncoding('latin1').on('data', (chunk: string) => (text += chunk))
    const closed = once(child, 'close')
    await once(child.stdout, 'data')
    await sleep(20 + 15 * start)
    child.kill('SIGKILL')
    await closed
    acknowledged.push(...text.split('\n').slice(0, -1)) // the last may be cut
  }
  assert.ok(acknowledged.length > 100 * KILLS, `${acknowledged.length} records`)
  const { isProven, chains } = verifyAudit([directory.path])
  assert.ok(isProven, JSON.stringify(chains))
  const recorded = new Set(
    readdirSync(directory.path)
      .filter((name) => name.endsWith('.log'))
      .flatMap((name) => readFileSync(join(directory.path, name), 'latin1').split('\n'))
      .map((line) => /"request_id":"([^"]+)"/.exec(line)?.[1] ?? ''),
  )
  assert.deepEqual(
    acknowledged.filter((id) => !recorded.has(id)),
    [],
  )
})

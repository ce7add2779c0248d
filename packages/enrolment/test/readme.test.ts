// The README says what the code does: its table is compared, its example is the file that is compiled and run here.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLogger } from '@latchkey/core'
import { ENROLMENT_ERRORS } from '@latchkey/enrolment'
import { startOriginCa } from './origin-ca.ts'
import { enrolAndRenew } from './readme-example.ts'

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')
const readme = text('../README.md')

test('the README lists every error code with its text', () => {
  const rows = [...readme.matchAll(/^\| `(ERR_\w+)` +\| (.+?) +\|$/gm)].map(([, code, words]) => [
    code,
    words,
  ])
  assert.deepEqual(rows, Object.entries(ENROLMENT_ERRORS))
})

test('the example of the README is the one that is run here, and enrols', async () => {
  assert.ok(readme.includes(`\`\`\`ts\n${text('./readme-example.ts')}\`\`\``))
  const path = mkdtempSync(join(tmpdir(), 'latchkey-enrol-'))
  try {
    await using server = await startOriginCa()
    const files = { cert: join(path, 'cert'), key: join(path, 'key'), csr: join(path, 'csr') }
    const order = {
      endpoint: server.endpoint,
      credential: { kind: 'api-token', secret: 'token' },
      hostname: 'ks.example.com',
      zoneId: 'zone',
      files,
      now: Date.now,
    } as const
    const validity = { notBefore: Date.now(), notAfter: Date.now() + 3_600_000 }
    await using _renewal = await enrolAndRenew(
      order,
      () => validity,
      () => {},
      silentLogger,
    )
    assert.match(readFileSync(files.cert, 'utf8'), /BEGIN CERTIFICATE/)
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
})

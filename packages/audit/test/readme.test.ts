// The README says what the code does: its table is compared, its example is the file that is compiled and run here.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { AUDIT_ERRORS } from '@latchkey/audit'
import { recordAndVerify } from './readme-example.ts'
import { temporaryDirectory } from './support.ts'

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')
const readme = text('../README.md')

test('the README lists every error code with its text', () => {
  const rows = [...readme.matchAll(/^\| `(ERR_\w+)` +\| (.+?) +\|$/gm)].map(([, code, words]) => [
    code,
    words,
  ])
  assert.deepEqual(rows, Object.entries(AUDIT_ERRORS))
})

test('the example of the README is the one that is run here, and proves its log', () => {
  assert.ok(readme.includes(`\`\`\`ts\n${text('./readme-example.ts')}\`\`\``))
  using directory = temporaryDirectory()
  const { isProven, chains } = recordAndVerify(directory.path)
  assert.ok(isProven)
  assert.equal(chains[0]?.lastSeq, 2)
})

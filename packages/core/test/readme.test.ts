import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { DECODE_ERRORS } from '@latchkey/core'
import { names, version } from './readme-example.ts'

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

test('the README lists each error code and no other', () => {
  const listed = [...text('../README.md').matchAll(/^\| `(ERR_\w+)`/gm)].map(([, code]) => code)
  assert.deepEqual(new Set(listed), new Set(Object.keys(DECODE_ERRORS)))
})

test('the example of the README is the one that is run here', () => {
  assert.ok(text('../README.md').includes(`\`\`\`ts\n${text('./readme-example.ts')}\`\`\``))
  assert.equal(version, 0x0304)
  assert.deepEqual([...names], [1, 2, 3])
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { received } from './readme-example.ts'

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

test('the example of the README is the one that is run here', () => {
  assert.ok(text('../README.md').includes(`\`\`\`ts\n${text('./readme-example.ts')}\`\`\``))
  const payload = new TextEncoder().encode('Hello!')
  assert.deepEqual(received, [{ major: 1, minor: 0, id: 1, operation: { opcode: 0xf1, payload } }])
})

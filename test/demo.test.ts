// What a newcomer runs first.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { promisify } from 'node:util'

const MAIN = fileURLToPath(new URL('../packages/latchkey/src/main.ts', import.meta.url))

test("the demo shows a page, the key server's line, and that the edge has no key", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, 'demo'], {
    env: { ...process.env, DEMO_ONCE: '1' },
    timeout: 60_000,
  })
  assert.match(stdout, /TLSv?1\.3/)
  assert.match(stdout, /TLS_AES_128_GCM_SHA256/)
  assert.match(stdout, /fetch key with SKI: [0-9a-f]{40}/)
  assert.match(stdout, /edge\s+process \d+ .*found 0 times|not found/)
})

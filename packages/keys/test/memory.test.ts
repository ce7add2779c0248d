// Signing and reloading leave nothing behind; the text of a key never becomes a JavaScript string.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import type { MemoryReport } from './memory-probe.ts'
import { goldenPem } from './support/golden-keys.ts'
import { temporaryDirectory } from './support/temporary-directory.ts'

const PROBE = fileURLToPath(new URL('./memory-probe.ts', import.meta.url))
/** A context or key leaked each time would be 7 MiB and more (tried). */
const MAX_GROWTH_BYTES = 3 << 20

describe('memory', () => {
  it('stays flat over 20,000 signatures and 3,000 reloads, and the heap holds no line of the key', async () => {
    await using directory = await temporaryDirectory()
    const key = await directory.write('a.key', goldenPem('p256'))
    const control = await directory.write('control.pem', goldenPem('p384'))
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', PROBE, key, control])
    const report = JSON.parse(stdout) as MemoryReport
    assert.ok(report.signing < MAX_GROWTH_BYTES, `signing left ${report.signing} bytes`)
    assert.ok(report.reloading < MAX_GROWTH_BYTES, `reloading left ${report.reloading} bytes`)
    assert.equal(report.keyLinesInHeap, 0)
    assert.ok(report.controlLinesInHeap > 0)
  })
})

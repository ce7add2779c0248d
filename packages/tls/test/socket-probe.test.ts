// What needs a process of its own to be seen: memory, timers, and exceptions that nobody catches.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ProbeReport } from './socket-probe.ts'

const PROBE = fileURLToPath(new URL('./socket-probe.ts', import.meta.url))
/** A connection leaked each time would be 3 MiB (tried). */
const MAX_GROWTH_BYTES = 1 << 20

describe('shell', () => {
  let report: ProbeReport

  before(async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', PROBE], {
      timeout: 60_000,
    })
    report = JSON.parse(stdout) as ProbeReport
  })

  test('what a listener throws is an uncaught exception, and no error of the connection', () => {
    // On a busy machine the client's first data may come together with its Finished.
    const expected = ['secureConnection', 'data', 'close', 'tlsClientError']
    assert.deepEqual(report.uncaught.toSorted(), expected.toSorted())
    assert.deepEqual(report.streamErrors, [])
  })

  test('a queue that is never empty lets go of the jobs it has run', () => {
    // The turn that is running holds its own.
    assert.ok(report.jobsHeld <= 64, `${report.jobsHeld} jobs`)
  })

  test('400 handshakes that succeed and 400 that do not leave nothing behind', () => {
    assert.equal(report.failures, 400)
    assert.ok(report.growth < MAX_GROWTH_BYTES, `${report.growth} bytes of heap and buffers`)
    assert.deepEqual(report.resourcesAfter, report.resourcesBefore)
  })
})

// Run with a limit on the size of a file, which refuses a write as a full disk does, after some of it. Records until the
// limit is met, goes on for a while, makes room, records once more, and tells what became of the records.
import { execFileSync } from 'node:child_process'
import { verifyAudit } from '@latchkey/audit'
import { keyUse, openLog } from './support.ts'

const [, , directory = ''] = process.argv
using log = openLog(directory)
let kept = 0
let refused = 0
while (refused < 20) {
  const batch = log.record(keyUse())
  log.commit()
  if (batch.isKept) kept++
  else refused++
}
const { isHealthy, failure } = log
const full = verifyAudit([directory])
execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited'])
const batch = log.record(keyUse())
log.commit()
process.stdout.write(
  JSON.stringify({
    kept,
    refused,
    isHealthy,
    failure,
    isProvenWhenFull: full.isProven,
    recordsWhenFull: full.chains[0]?.records,
    isKeptAfterwards: batch.isKept,
    isHealthyAfterwards: log.isHealthy,
  }),
)

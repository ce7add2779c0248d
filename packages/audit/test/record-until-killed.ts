// Records without end, in files that are soon full, and tells the id of each record once it is kept.
import { writeSync } from 'node:fs'
import { keyUse, openLog } from './support.ts'

const [, , directory = '', start = ''] = process.argv
const log = openLog(directory, { maxFileBytes: 4_000_000, maxFiles: 1_000_000, now: Date.now })
for (let slice = 0; ; slice++) {
  const ids = Array.from({ length: 1 + (slice % 32) }, (_, index) => `${start}-${slice}-${index}`)
  const batches = ids.map((requestId) => log.record(keyUse({ requestId })))
  log.commit()
  if (batches.some(({ isKept }) => !isKept)) throw new Error(log.failure)
  // One write of less than a page to a file: all of it, or nothing.
  writeSync(1, `${ids.join('\n')}\n`)
}

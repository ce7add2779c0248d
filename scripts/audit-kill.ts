// Records key uses in a process that is killed (SIGKILL) again and again, then checks that every record that was
// acknowledged is there, that the chain is proven, and that one flipped bit is found and named. A minute for a million.
//   node scripts/audit-kill.ts [records]
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verifyAudit } from '@latchkey/audit'
import { missingRecords, recordAndKill } from '../packages/audit/test/killing.ts'

const records = Number(process.argv[2] ?? 1_000_000)
const MAX_LIFE_MS = 100

const directory = mkdtempSync(join(tmpdir(), 'latchkey-audit-kill-'))
try {
  const audit = join(directory, 'audit')
  const startedAt = performance.now()
  const killed = await recordAndKill(audit, join(directory, 'acknowledged'), {
    records,
    killAfterMs: () => Math.random() * MAX_LIFE_MS,
  })
  const seconds = (performance.now() - startedAt) / 1000
  console.log(
    `${killed.acknowledged.size} records acknowledged, ${killed.kills} kills, ${seconds.toFixed(0)} s`,
  )

  const missing = missingRecords(audit, killed)
  if (missing.length > 0) throw new Error(`${missing.length} acknowledged records are gone: ${missing[0]} …`)
  console.log('each of them is in the log')

  const verifyingAt = performance.now()
  const { isProven, chains } = verifyAudit([audit])
  if (!isProven) throw new Error(`not proven: ${JSON.stringify(chains)}`)
  const [chain] = chains
  const tookMs = performance.now() - verifyingAt
  console.log(`chain proven: ${chain?.records} records in ${chain?.files} files, ${tookMs.toFixed(0)} ms`)

  const names = readdirSync(audit).filter((name) => name.endsWith('.log'))
  const path = join(audit, names[Math.floor(Math.random() * names.length)] ?? '')
  const at = Math.floor(Math.random() * statSync(path).size)
  const bytes = readFileSync(path)
  const line = bytes.subarray(0, at).toString('latin1').split('\n').length
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(path, bytes)
  const found = verifyAudit([audit]).chains[0]?.break
  if (found?.file !== path || found.line !== line) {
    throw new Error(`byte ${at} of ${path}, line ${line}, was flipped, and found is ${JSON.stringify(found)}`)
  }
  console.log(
    `a flipped bit, byte ${at} of a file, is found: ${found.kind}, record ${found.seq}, line ${line}`,
  )
} finally {
  rmSync(directory, { recursive: true })
}

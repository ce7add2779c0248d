// `latchkey audit verify`: proves audit logs, or names the first break of each chain.
import { resolve } from 'node:path'
import { type ChainReport, verifyAudit } from '@latchkey/audit'
import type { Console } from '../process/console.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'

export interface AuditVerifyCommand {
  /** Directories or files. */
  readonly paths: readonly string[]
  readonly expectHeads: readonly string[]
}

/** Whoever waits longer wants to see that something happens. */
const PROGRESS_MS = 2000

/** @throws {AuditError} of what cannot be read. */
export function verifyAuditLogs(
  { paths, expectHeads }: AuditVerifyCommand,
  { cwd, out, err }: Console,
): ExitCode {
  let shownAt = performance.now()
  const report = verifyAudit(
    paths.map((path) => resolve(cwd, path)),
    {
      expectHeads,
      onProgress: (read, all) => {
        const now = performance.now()
        if (now - shownAt < PROGRESS_MS) return
        shownAt = now
        err(`${Math.floor((100 * read) / all)} % of ${Math.ceil(all / 1e6)} MB read\n`)
      },
    },
  )
  const { chains, missingHeads, isProven } = report
  const lines = [
    ...chains.flatMap(chainLines),
    ...missingHeads.map(
      (head) => `no record has the expected hash ${head}: the end was cut off, or all was written anew`,
    ),
    isProven
      ? `proven: ${chains.length} ${chains.length === 1 ? 'chain' : 'chains'}, each record is as it was written`
      : 'NOT PROVEN',
  ]
  out(`${lines.join('\n')}\n`)
  return isProven ? EXIT.ok : EXIT.failed
}

function chainLines(chain: ChainReport): string[] {
  const { name, records, files, firstSeq, lastSeq, firstTime, lastTime, head, break: found } = chain
  const proven =
    records === 0
      ? `${name}: no record is proven`
      : `${name}: ${records} records in ${files} ${files === 1 ? 'file' : 'files'}, ${firstSeq} to ${lastSeq}, ${firstTime} to ${lastTime}, head ${head}`
  if (found === undefined) return [proven]
  const { kind, file, line, offset, seq, text } = found
  return [
    `${name}: BROKEN (${kind}) at record ${seq}, ${file}:${line}, byte ${offset}: ${text}`,
    `proven before: ${proven}`,
  ]
}

// A process that records and is killed, again and again, and whether each record that it acknowledged is there.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const RECORDER = fileURLToPath(new URL('record-until-killed.ts', import.meta.url))
const START_MS = 10_000

export interface Killed {
  readonly kills: number
  /** Ids of records. */
  readonly acknowledged: ReadonlySet<string>
}

/**
 * Until so many records are acknowledged.
 *
 * @param acknowledgements a file: what stands in it survives the recorder as its records do.
 * @param killAfterMs from the first record of a process.
 */
export async function recordAndKill(
  directory: string,
  acknowledgements: string,
  { records, killAfterMs }: { readonly records: number; readonly killAfterMs: () => number },
): Promise<Killed> {
  let kills = 0
  let acknowledged = new Set<string>()
  while (acknowledged.size < records) {
    const output = openSync(acknowledgements, 'a')
    const { size } = statSync(acknowledgements)
    const child = spawn(process.execPath, [RECORDER, directory, String(kills)], {
      stdio: ['ignore', output, 'inherit'],
    })
    closeSync(output)
    const ended = once(child, 'exit')
    for (const end = performance.now() + START_MS; statSync(acknowledgements).size === size; await delay(5)) {
      if (performance.now() > end || child.exitCode !== null) throw new Error('it records nothing')
    }
    await delay(killAfterMs())
    child.kill('SIGKILL')
    const [, signal] = (await ended) as [number | null, string | null]
    if (signal !== 'SIGKILL') throw new Error('it ended by itself')
    kills++
    acknowledged = new Set(readFileSync(acknowledgements, 'latin1').split('\n').filter(Boolean))
  }
  return { kills, acknowledged }
}

/** Acknowledged records that are in no file. */
export function missingRecords(directory: string, { acknowledged }: Killed): string[] {
  const missing = new Set(acknowledged)
  for (const name of readdirSync(directory)) {
    if (!name.endsWith('.log')) continue
    for (const [, id = ''] of readFileSync(join(directory, name), 'latin1').matchAll(
      /"request_id":"([^"]+)"/g,
    )) {
      missing.delete(id)
    }
  }
  return [...missing]
}

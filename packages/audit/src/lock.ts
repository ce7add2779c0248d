// One writer a chain: a file with the id of the process that writes. A process that was killed leaves it; the next one
// sees that it is gone.
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { AuditError } from './errors.ts'

/** Disposing it gives the chain free. */
export function lockChain(path: string): Disposable {
  const mine = `${process.pid} ${startOf(process.pid)}\n`
  for (let attempt = 0; !isCreated(path, mine); attempt++) {
    const held = read(path)
    if (held !== undefined && (attempt === ATTEMPTS || isAlive(held))) throw locked(path, held)
    if (held !== undefined) removeStale(path, held)
  }
  return { [Symbol.dispose]: () => rmSync(path, { force: true }) }
}

const ATTEMPTS = 3

function isCreated(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 })
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw new AuditError('ERR_AUDIT_DIRECTORY', { detail: (cause as Error).message, cause })
  }
}

/** Another process may take it over at the same time: what is moved away must be what was judged. */
function removeStale(path: string, held: string): void {
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
  } catch {
    return // it was faster
  }
  const moved = read(aside)
  if (moved !== held) linkSync(aside, path)
  rmSync(aside, { force: true })
  if (moved !== held) throw locked(path, moved ?? '')
}

function isAlive(held: string): boolean {
  const [pid = '', start = ''] = held.trim().split(' ')
  if (!/^[1-9]\d*$/.test(pid)) return false
  try {
    process.kill(Number(pid), 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return startOf(Number(pid)) === start
}

/** When a process started, as Linux tells it, so that another process of the same id is not taken for it. */
function startOf(pid: number): string {
  try {
    // proc_pid_stat(5): the name, in brackets, may hold anything; the state is field 3, the start field 22.
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')
    return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '')
  } catch {
    return ''
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

function locked(path: string, held: string): AuditError {
  return new AuditError('ERR_AUDIT_LOCKED', { detail: `${path}: process ${held.split(' ')[0] ?? ''}` })
}

// One writer a chain: a file with the id of the process that writes. A process that was killed leaves it; the next one
// sees that it is gone.
//
// A process of another container cannot be looked for by its id. So the writer touches the file again and again, and whoever finds a
// foreign one watches it for longer than that takes.
import {
  linkSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { AuditError } from './errors.ts'

const ATTEMPTS = 3
const TOUCH_MS = 2000
/** Some touches may come late. */
const DEFAULT_WATCH_MS = 4 * TOUCH_MS
const LOOK_MS = 100

/**
 * Disposing it gives the chain free.
 *
 * @param watchMs how long a writer of another container is waited for, with the thread.
 * @throws {AuditError} ERR_AUDIT_LOCKED, ERR_AUDIT_DIRECTORY
 */
export function lockChain(path: string, watchMs = DEFAULT_WATCH_MS): Disposable {
  const mine = `${process.pid} ${startOf(process.pid)} ${NAMESPACE}\n`
  for (let attempt = 0; !isCreated(path, mine); attempt++) {
    const held = read(path)
    if (attempt === ATTEMPTS || (held !== undefined && isAlive(path, held, watchMs))) {
      throw locked(path, held ?? '')
    }
    if (held !== undefined) removeStale(path, held)
  }
  const touching = setInterval(() => touch(path), TOUCH_MS).unref()
  return {
    [Symbol.dispose]: () => {
      clearInterval(touching)
      if (read(path) === mine) rmSync(path, { force: true })
    },
  }
}

/** In which ids of processes mean the same; the boot too, as ids begin anew with it. */
const NAMESPACE = namespaceOf()

function namespaceOf(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
    return `${boot}/${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return 'unknown'
  }
}

function touch(path: string): void {
  try {
    const now = new Date()
    utimesSync(path, now, now)
  } catch {
    // A disk that is full or gone is told by the records.
  }
}

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

function isAlive(path: string, held: string, watchMs: number): boolean {
  const [pid = '', start = '', namespace = ''] = held.trim().split(' ')
  if (namespace !== NAMESPACE) return isTouched(path, watchMs)
  if (!/^[1-9]\d*$/.test(pid)) return false
  try {
    process.kill(Number(pid), 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return startOf(Number(pid)) === start
}

/** Whether somebody touches the lock while we look; the machine's clocks need not agree. */
function isTouched(path: string, watchMs: number): boolean {
  const sleeping = new Int32Array(new SharedArrayBuffer(4))
  const first = touchedAt(path)
  for (let watched = 0; watched < watchMs; watched += LOOK_MS) {
    Atomics.wait(sleeping, 0, 0, LOOK_MS)
    if (touchedAt(path) !== first) return true
  }
  return false
}

function touchedAt(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs
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

/** Undefined: it is gone. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw new AuditError('ERR_AUDIT_DIRECTORY', { detail: `${path}: ${code ?? message}`, cause })
  }
}

function locked(path: string, held: string): AuditError {
  return new AuditError('ERR_AUDIT_LOCKED', { detail: `${path}: process ${held.split(' ')[0] ?? ''}` })
}

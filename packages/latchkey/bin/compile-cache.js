// Keeps compiled code between runs: with it the command starts in half the time, and each process needs 30 MB less, since
// nothing has to strip types (which loads a compiler of its own into memory).
//
// What is in that directory is run, so it must be ours alone: below the home of the user, never in a shared /tmp. Where
// there is no such place the command starts without.
import { lstatSync, mkdirSync } from 'node:fs'
import { enableCompileCache, flushCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'

const OTHERS = 0o077
const FLUSH_MS = 5000

export function keepCompiledCode() {
  // Said by whoever started us: Node does it then, or does not.
  if (process.env.NODE_COMPILE_CACHE !== undefined || process.env.NODE_DISABLE_COMPILE_CACHE !== undefined)
    return
  const directory = privateDirectory()
  if (directory === undefined) return
  enableCompileCache(directory)
  // Node writes it when a process ends; one that serves for months should leave it sooner.
  setTimeout(() => flushCompileCache(), FLUSH_MS).unref()
}

function privateDirectory() {
  try {
    const base = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
    if (!isAbsolute(base)) return undefined
    const directory = join(base, 'latchkey')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const stat = lstatSync(directory)
    const isOurs = stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & OTHERS) === 0
    return isOurs ? directory : undefined
  } catch {
    return undefined // no home, or one that cannot be written to
  }
}

// The files of a chain: `audit-0.000001.log`, `audit-0.000002.log` and so on, in one directory.
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type ChainLine, hashOf, MAX_LINE_BYTES, memberOf, NO_HASH, readLine } from './chain.ts'
import { AuditError } from './errors.ts'

export interface ChainFile {
  readonly path: string
  /** Of its chain. */
  readonly name: string
  /** From 1. */
  readonly number: number
}

export function chainFile(directory: string, name: string, number: number): ChainFile {
  return { path: join(directory, `${name}.${String(number).padStart(6, '0')}.log`), name, number }
}

/** @returns undefined for a file that is none of a chain. */
export function readFileName(path: string): ChainFile | undefined {
  const [, name, number] = /^(.+)\.(\d{6,12})\.log$/.exec(basename(path)) ?? []
  return name === undefined ? undefined : { path, name, number: Number(number) }
}

/** In the order in which they were written. @throws {AuditError} ERR_AUDIT_DIRECTORY */
export function filesIn(directory: string): ChainFile[] {
  try {
    return readdirSync(directory)
      .map((entry) => readFileName(join(directory, entry)))
      .filter((file) => file !== undefined)
      .toSorted((a, b) => a.name.localeCompare(b.name) || a.number - b.number)
  } catch (cause) {
    throw new AuditError('ERR_AUDIT_DIRECTORY', { detail: (cause as Error).message, cause })
  }
}

/** Where a file ends. */
export interface Tail {
  /** The last whole record; undefined: there is none. */
  readonly last: ChainLine | undefined
  /** Up to and with the newline of that record. */
  readonly wholeBytes: number
  /** What follows: a write that was cut short. */
  readonly tornBytes: number
}

/** @throws {AuditError} ERR_AUDIT_DAMAGED if the last whole line is not what was written. */
export function readTail(path: string): Tail {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    // Two lines and what is torn, which is less than a write: the line before tells the hash that the last one hangs on.
    const start = Math.max(0, size - TAIL_BYTES)
    const bytes = Buffer.alloc(size - start)
    readSync(fd, bytes, 0, bytes.length, start)
    const wholeEnd = bytes.lastIndexOf(NEWLINE) + 1
    const whole = bytes.toString('latin1', 0, wholeEnd)
    const tail = { wholeBytes: wholeEnd === 0 ? 0 : start + wholeEnd, tornBytes: bytes.length - wholeEnd }
    if (start > 0 && wholeEnd === 0) throw damaged(path, 'no line ends in its last bytes')
    if (wholeEnd === 0) return { ...tail, last: undefined }
    const [lastText = '', beforeText] = whole.slice(0, -1).split('\n').slice(-2).toReversed()
    const last = readLine(lastText)
    if (last === undefined) throw damaged(path, 'its last line is no record')
    const isFirst = beforeText === undefined && start === 0
    const previous = isFirst ? memberOf(last.body, 'previous') : readLine(beforeText ?? '')?.hash
    if (hashOf(previous ?? NO_HASH, last.body) !== last.hash) {
      throw damaged(path, `record ${last.seq} does not match its hash`)
    }
    return { ...tail, last }
  } finally {
    closeSync(fd)
  }
}

const NEWLINE = 0x0a
/** A write, and two lines. */
const TAIL_BYTES = 6 * MAX_LINE_BYTES

function damaged(path: string, what: string): AuditError {
  const hint =
    'hint: "latchkey audit verify" names the place; move the files of this chain away to begin a new one'
  return new AuditError('ERR_AUDIT_DAMAGED', { detail: `${path}: ${what}; ${hint}` })
}

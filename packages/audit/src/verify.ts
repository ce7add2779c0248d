// Reads chains again and proves them, or names the first place where one is not what was written. Reads forward and keeps
// one line, however large the files.
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { type ChainFile, filesIn, readFileName } from './chain-files.ts'
import { type ChainLine, hashOf, MAX_LINE_BYTES, memberOf, NO_HASH, readLine } from './chain.ts'
import { AuditError } from './errors.ts'

/** `torn`: the end of a file is no whole line. */
export type BreakKind = 'changed' | 'missing' | 'order' | 'torn'

export interface ChainBreak {
  readonly kind: BreakKind
  readonly file: string
  /** From 1. */
  readonly line: number
  /** Of the beginning of the line. */
  readonly offset: number
  /** That the record should have. */
  readonly seq: number
  readonly text: string
}

export interface ChainReport {
  readonly name: string
  readonly files: number
  /** Proven ones: up to the break, if there is one. */
  readonly records: number
  readonly firstSeq: number
  readonly lastSeq: number
  readonly firstTime: string
  readonly lastTime: string
  /** Vouches for all of the chain: keep it elsewhere, and ask for it the next time. */
  readonly head: string
  readonly break: ChainBreak | undefined
}

export interface VerifyOptions {
  /** Hashes that were heads once: each must be in one of the chains. */
  readonly expectHeads?: readonly string[]
  readonly onProgress?: (readBytes: number, allBytes: number) => void
}

export interface AuditReport {
  readonly chains: readonly ChainReport[]
  /** Those that were expected and are in no chain. */
  readonly missingHeads: readonly string[]
  readonly isProven: boolean
}

/**
 * Verifies the chains in directories, or those of single files.
 *
 * @throws {AuditError} ERR_AUDIT_DIRECTORY
 */
export function verifyAudit(paths: readonly string[], options: VerifyOptions = {}): AuditReport {
  const files = paths.flatMap((path) => chainFilesAt(path))
  const names = [...new Set(files.map(({ name }) => name))]
  const missing = new Set(options.expectHeads)
  const progress = progressOf(files, options.onProgress)
  const chains = names.map((name) => {
    const ofChain = files.filter((file) => file.name === name)
    return new ChainReader(name, missing, progress).read(ofChain)
  })
  const missingHeads = [...missing]
  const isProven = missingHeads.length === 0 && chains.every((chain) => chain.break === undefined)
  return { chains, missingHeads, isProven: isProven && chains.length > 0 }
}

function chainFilesAt(path: string): ChainFile[] {
  let isDirectory: boolean
  try {
    isDirectory = statSync(path).isDirectory()
  } catch (cause) {
    throw new AuditError('ERR_AUDIT_DIRECTORY', { detail: (cause as Error).message, cause })
  }
  const file = isDirectory ? undefined : readFileName(path)
  const files = isDirectory ? filesIn(path) : file === undefined ? [] : [file]
  if (files.length > 0) return files
  const detail = `${path}: no file here has a name such as audit-0.000001.log`
  throw new AuditError('ERR_AUDIT_DIRECTORY', { detail })
}

function progressOf(
  files: readonly ChainFile[],
  onProgress: VerifyOptions['onProgress'],
): (bytes: number) => void {
  if (onProgress === undefined) return () => {}
  const all = files.reduce((sum, { path }) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0)
  let done = 0
  return (bytes) => onProgress((done += bytes), all)
}

class ChainReader {
  readonly #name: string
  readonly #missingHeads: Set<string>
  readonly #progress: (bytes: number) => void
  #files = 0
  #records = 0
  #first: ChainLine | undefined
  #last: ChainLine | undefined
  #break: ChainBreak | undefined

  constructor(name: string, missingHeads: Set<string>, progress: (bytes: number) => void) {
    this.#name = name
    this.#missingHeads = missingHeads
    this.#progress = progress
  }

  read(files: readonly ChainFile[]): ChainReport {
    for (const file of files) {
      if (this.#break !== undefined) break
      this.#files++
      try {
        this.#readFile(file.path)
      } catch (cause) {
        const { code, message } = cause as NodeJS.ErrnoException
        throw new AuditError('ERR_AUDIT_DIRECTORY', { detail: `${file.path}: ${code ?? message}`, cause })
      }
    }
    return {
      name: this.#name,
      files: this.#files,
      records: this.#records,
      firstSeq: this.#first?.seq ?? 0,
      lastSeq: this.#last?.seq ?? 0,
      firstTime: timeOf(this.#first),
      lastTime: timeOf(this.#last),
      head: this.#last?.hash ?? NO_HASH,
      break: this.#break,
    }
  }

  #readFile(path: string): void {
    const fd = openSync(path, 'r')
    try {
      const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
      let rest = ''
      let line = 1
      let offset = 0
      for (;;) {
        const read = readSync(fd, chunk)
        if (read === 0) break
        this.#progress(read)
        const text = rest + chunk.toString('latin1', 0, read)
        let start = 0
        for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
          this.#take(text.slice(start, end), { file: path, line, offset })
          if (this.#break !== undefined) return
          line++
          offset += end + 1 - start
          start = end + 1
        }
        rest = text.slice(start)
        if (rest.length > MAX_LINE_BYTES) {
          this.#found('changed', { file: path, line, offset }, 'no line is as long as this')
          return
        }
      }
      if (rest === '') return
      const text = `the file ends in the middle of a line, ${rest.length} bytes: a write that was cut short, which the next start of its writer takes back, or a file that was`
      this.#found('torn', { file: path, line, offset }, text)
    } finally {
      closeSync(fd)
    }
  }

  #take(text: string, place: Place): void {
    const line = readLine(text)
    if (line === undefined) return this.#found('changed', place, 'this line is no record any more')
    const isFirst = this.#last === undefined
    const previous = this.#last?.hash ?? memberOf(line.body, 'previous')
    if (previous === undefined) {
      return this.#found('missing', place, 'the beginning of this file: its first record is not the first')
    }
    const expected = isFirst ? line.seq : this.#expected()
    if (hashOf(previous, line.body) !== line.hash) return this.#diagnose(line, { previous, expected }, place)
    if (line.seq !== expected) return this.#found('order', place, `a record numbered ${line.seq}`)
    this.#first ??= line
    this.#last = line
    this.#records++
    if (this.#missingHeads.size > 0) this.#missingHeads.delete(line.hash)
  }

  /** Why the hash does not match: from the number the record has. */
  #diagnose(
    line: ChainLine,
    { previous, expected }: { readonly previous: string; readonly expected: number },
    place: Place,
  ): void {
    const isOnlyNumber =
      line.seq !== expected &&
      hashOf(previous, line.body.replace(/^\{"seq":\d+/, `{"seq":${expected}`)) === line.hash
    if (isOnlyNumber || line.seq === expected) {
      return this.#found('changed', place, 'the record, or its hash, is not what was written')
    }
    return line.seq > expected
      ? this.#found('missing', place, `here stands record ${line.seq}: ${line.seq - expected} are not there`)
      : this.#found('order', place, `here stands record ${line.seq} again`)
  }

  #expected(): number {
    return (this.#last?.seq ?? 0) + 1
  }

  #found(kind: BreakKind, place: Place, text: string): void {
    this.#break = { kind, ...place, seq: this.#expected(), text }
  }
}

interface Place {
  readonly file: string
  readonly line: number
  readonly offset: number
}

const CHUNK_BYTES = 256 * 1024

function timeOf(line: ChainLine | undefined): string {
  return line === undefined ? '' : (memberOf(line.body, 'time') ?? '')
}

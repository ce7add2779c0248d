// The writer of one chain. Records are gathered, then written as one piece: a record costs a hash, a write is shared.
//
// What was not written whole is taken back: the file is cut to its last whole record, and the chain goes on from there
// with the next write that works. Nothing is acknowledged before its record was handed to the operating system, so a
// process that is killed loses none that was; a loss of power may, unless `fsync` is 'commit'.
import { hash } from 'node:crypto'
import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { HASH_CHARS, MAX_LINE_BYTES, NO_HASH, sealOf } from './chain.ts'
import { chainFile, type ChainFile, filesIn, readTail, type Tail } from './chain-files.ts'
import { AuditError } from './errors.ts'
import { lockChain } from './lock.ts'
import { type AuditEvent, eventJson, type KeyUse, keyUseJson } from './record.ts'

export interface AuditLogOptions {
  /** Made if it is not there, for its owner only. */
  readonly directory: string
  /** Of the chain: `audit-0`. One process writes it. */
  readonly name: string
  /** A file that has become as large is followed by the next. Default: 64 MiB. */
  readonly maxFileBytes?: number
  /** The oldest are removed when there are more. Default: 64. */
  readonly maxFiles?: number
  /** Whether each write is brought to the disk at once, so that even a loss of power loses nothing. Default: 'never'. */
  readonly fsync?: 'never' | 'commit'
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** The records that are written together. */
export interface AuditBatch {
  /** Whether they are in the file; false before the commit, and after one that failed. */
  readonly isKept: boolean
}

const DEFAULT_FILE_BYTES = 64 * 1024 * 1024
const DEFAULT_FILES = 64
/** More than a slice of work records; what is beyond is written earlier. */
const BATCH_BYTES = 4 * MAX_LINE_BYTES

/**
 * Opens a chain to go on with it; one of a process that was killed is mended first.
 *
 * @throws {AuditError}
 */
export function openAudit(options: AuditLogOptions): AuditLog {
  return new AuditLog(options)
}

interface Batch {
  isKept: boolean
}

export class AuditLog implements Disposable {
  readonly #options: Required<AuditLogOptions>
  readonly #lock: Disposable
  readonly #buffer = Buffer.allocUnsafeSlow(BATCH_BYTES)
  readonly #line = Buffer.allocUnsafeSlow(HASH_CHARS + MAX_LINE_BYTES)
  #file: ChainFile
  #fd: number
  /** Of the file, up to its last whole record. */
  #size: number
  /** Of the last record that is in the file. */
  #committed: { readonly seq: number; readonly head: string }
  #seq: number
  #head: string
  #filled = 0
  /** Records that were gathered; those that the chain needs for itself are not counted. */
  #gathered = 0
  #batch: Batch = { isKept: false }
  /** Records that had to be taken back since one was written. */
  #unwritten = 0
  #records = 0
  #unwrittenInAll = 0
  #failure: string | undefined
  /** The next file could not be made: records go on into this one, beyond its size. */
  #rotationFailure: string | undefined
  /** Something of a failed write may stand behind the last whole record. */
  #isTorn = false
  #timeMs = Number.NaN
  #timeText = ''
  #isClosed = false

  /** Use {@link openAudit}. */
  constructor(options: AuditLogOptions) {
    this.#options = { maxFileBytes: DEFAULT_FILE_BYTES, maxFiles: DEFAULT_FILES, fsync: 'never', ...options }
    const { directory, name } = this.#options
    using stack = new DisposableStack()
    this.#lock = stack.use(inDirectory(() => lockIn(directory, name)))
    const files = filesIn(directory).filter((file) => file.name === name)
    this.#file = files.at(-1) ?? chainFile(directory, name, 1)
    const { tail, last } = inDirectory(() => endOf(files))
    this.#fd = inDirectory(() => openSync(this.#file.path, OPEN_FLAGS, FILE_MODE))
    stack.defer(() => closeSync(this.#fd))
    inDirectory(() => ftruncateSync(this.#fd, tail.wholeBytes))
    this.#size = tail.wholeBytes
    this.#seq = last.seq
    this.#head = last.head
    this.#committed = last
    if (tail.tornBytes > 0) this.recordEvent({ event: 'recovered', torn_bytes: tail.tornBytes })
    this.#syncDirectory()
    stack.move()
  }

  /** The last write went well, and so did the last change of files. */
  get isHealthy(): boolean {
    return this.failure === undefined
  }

  /** Why the last write failed, or the last change of files, after which writes go on. */
  get failure(): string | undefined {
    return this.#failure ?? this.#rotationFailure
  }

  /** The last write went well, whatever became of the change of files. */
  get canWrite(): boolean {
    return this.#failure === undefined
  }

  /** Records that this process has written. */
  get records(): number {
    return this.#records
  }

  /** Records of this process that could not be. */
  get unwritten(): number {
    return this.#unwrittenInAll
  }

  /** The hash of the last record that was written, which vouches for all before it. */
  get head(): string {
    return this.#committed.head
  }

  /** Gathers a record. */
  record(use: KeyUse): AuditBatch {
    return this.#add(keyUseJson(use), use.client.json)
  }

  recordEvent(event: AuditEvent): AuditBatch {
    return this.#add(eventJson(event))
  }

  /**
   * Writes what was gathered, all of it or nothing.
   *
   * @returns whether it is in the file now.
   */
  commit(): boolean {
    if (this.#filled === 0) return this.isHealthy
    const batch = this.#batch
    this.#batch = { isKept: false }
    const count = this.#gathered
    this.#gathered = 0
    try {
      this.#write()
    } catch (error) {
      this.#takeBack(error as Error, count)
      return false
    }
    batch.isKept = true
    this.#size += this.#filled
    this.#filled = 0
    this.#records += count
    this.#committed = { seq: this.#seq, head: this.#head }
    this.#unwritten = 0
    this.#failure = undefined
    return true
  }

  /** After a failure: writes how many records were lost, if there is room for that now. */
  retry(): boolean {
    if (!this.isHealthy && this.#filled === 0) this.#begin()
    return this.commit()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.commit()
    closeSync(this.#fd)
    this.#lock[Symbol.dispose]()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #add(members: string, client: Uint8Array = NO_BYTES): AuditBatch {
    if (this.#filled === 0) this.#begin()
    else if (this.#filled > BATCH_BYTES - MAX_LINE_BYTES) {
      this.commit()
      this.#begin()
    }
    this.#append(members, client)
    this.#gathered++
    return this.#batch
  }

  /** What has to stand before the first record of a write. */
  #begin(): void {
    this.#readClock()
    if (this.#size >= this.#options.maxFileBytes) this.#rotate()
    if (this.#size === 0) {
      const { name, number } = this.#file
      this.#append(eventJson({ event: 'file', chain: name, number, previous: this.#head }))
    }
    if (this.#unwritten > 0) this.#append(eventJson({ event: 'unwritten', count: this.#unwritten }))
  }

  /** Made where its hash needs it, behind the hash before it: as bytes, since strings of this length cost more. */
  #append(members: string, client: Uint8Array = NO_BYTES): void {
    const line = this.#line
    this.#seq++
    let end = line.write(this.#head, 0, 'latin1')
    end += line.write(`{"seq":${this.#seq},"time":"${this.#timeText}"`, end, 'latin1')
    line.set(client, end)
    end += client.length
    end += line.write(members, end, 'latin1')
    this.#head = hash('sha256', line.subarray(0, end), 'hex')
    end += line.write(sealOf(this.#head), end, 'latin1')
    this.#filled += line.copy(this.#buffer, this.#filled, HASH_CHARS, end)
  }

  /** Once for all records of a write: they are made within a millisecond or two. */
  #readClock(): void {
    const now = this.#options.now()
    if (now === this.#timeMs) return
    this.#timeMs = now
    this.#timeText = new Date(now).toISOString()
  }

  #write(): void {
    if (this.#isTorn) this.#cut()
    this.#isTorn = true
    for (let written = 0; written < this.#filled; ) {
      written += writeSync(this.#fd, this.#buffer, written, this.#filled - written, this.#size + written)
    }
    if (this.#options.fsync === 'commit') fdatasyncSync(this.#fd)
    this.#isTorn = false
  }

  #takeBack(error: Error, count: number): void {
    this.#failure = error.message
    this.#unwritten += count
    this.#unwrittenInAll += count
    this.#filled = 0
    this.#seq = this.#committed.seq
    this.#head = this.#committed.head
    try {
      this.#cut()
    } catch {
      // Before the next write, then.
    }
  }

  #cut(): void {
    ftruncateSync(this.#fd, this.#size)
    this.#isTorn = false
  }

  /** If the next file cannot be made, this one grows until it can. */
  #rotate(): void {
    const { directory, name, maxFiles } = this.#options
    const next = chainFile(directory, name, this.#file.number + 1)
    let fd: number
    try {
      fd = openSync(next.path, OPEN_FLAGS, FILE_MODE)
    } catch (error) {
      this.#rotationFailure = (error as Error).message
      return
    }
    this.#rotationFailure = undefined
    closeSync(this.#fd)
    this.#fd = fd
    this.#file = next
    this.#size = 0
    this.#syncDirectory()
    try {
      const files = filesIn(directory).filter((file) => file.name === name)
      for (const { path } of files.slice(0, -maxFiles)) rmSync(path, { force: true })
    } catch {
      // At the next rotation, then.
    }
  }

  /** A file whose name is not on the disk is lost with the power, whatever is in it. */
  #syncDirectory(): void {
    if (this.#options.fsync === 'never') return
    try {
      const fd = openSync(this.#options.directory, 'r')
      try {
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
    } catch {
      // Some file systems cannot.
    }
  }
}

const NO_BYTES = new Uint8Array(0)
const OPEN_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

function lockIn(directory: string, name: string): Disposable {
  mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE })
  return lockChain(join(directory, `${name}.lock`))
}

/** The end of the last file, and the last record, which stands in the file before if nothing whole is in the last. */
function endOf(files: readonly ChainFile[]): {
  readonly tail: Omit<Tail, 'last'>
  readonly last: { readonly seq: number; readonly head: string }
} {
  const [newest, before] = files.slice(-2).toReversed()
  const tail: Tail =
    newest === undefined ? { last: undefined, wholeBytes: 0, tornBytes: 0 } : readTail(newest.path)
  const last = tail.last ?? (before === undefined ? undefined : readTail(before.path).last)
  return { tail, last: { seq: last?.seq ?? 0, head: last?.hash ?? NO_HASH } }
}

function inDirectory<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof AuditError) throw cause
    throw new AuditError('ERR_AUDIT_DIRECTORY', { detail: (cause as Error).message, cause })
  }
}

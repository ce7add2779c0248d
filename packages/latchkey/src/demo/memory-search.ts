// Looks for bytes in the memory of another process: how the demo and the end-to-end test show that an edge has no key.
//
// Linux only: /proc/<pid>/maps lists the regions, /proc/<pid>/mem is their content. The kernel lets a process of the
// same user read it where ptrace would be allowed (proc(5), ptrace(2) "access mode checking").
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { CodedError, type ErrorDetail } from '@latchkey/core'

export const MEMORY_SEARCH_ERRORS = {
  ERR_MEMORY_SEARCH_UNSUPPORTED: 'memory of other processes can be searched on Linux only',
  ERR_MEMORY_SEARCH_NOT_PERMITTED: 'not permitted to read the memory of that process (ptrace restrictions)',
  ERR_MEMORY_SEARCH_NO_PROCESS: 'there is no such process',
} as const satisfies Record<string, string>
export type MemorySearchErrorCode = keyof typeof MEMORY_SEARCH_ERRORS

export class MemorySearchError extends CodedError<MemorySearchErrorCode> {
  constructor(code: MemorySearchErrorCode, options?: ErrorDetail) {
    super(code, MEMORY_SEARCH_ERRORS[code], options)
  }
}

/** Addresses: first, and first after. */
export interface Region {
  readonly start: number
  readonly end: number
}

/** Reads up to `buffer.length` bytes at `address` into `buffer`; 0 where nothing can be read. */
export type ReadMemory = (buffer: Uint8Array, address: number) => Promise<number>

/** Large enough for few system calls, small beside what is searched. */
const CHUNK_BYTES = 1024 * 1024

/**
 * Counts where each of `needles` begins in the readable and writable memory of process `pid`: heap, stacks, everything
 * a program can have put a key into. The process runs on meanwhile.
 *
 * @param needles each at least 8 bytes, or chance would find it too.
 * @returns one count a needle, in their order.
 * @throws {MemorySearchError}
 * @throws {RangeError} on a needle that is too short.
 */
export async function searchProcessMemory(pid: number, needles: readonly Uint8Array[]): Promise<number[]> {
  for (const { length } of needles) if (length < 8) throw new RangeError(`a needle of ${length} bytes`)
  if (process.platform !== 'linux') throw new MemorySearchError('ERR_MEMORY_SEARCH_UNSUPPORTED')
  const memory = await opened(pid)
  try {
    const regions = readRegions(await readFile(`/proc/${pid}/maps`, 'utf8').catch(translate))
    return await countInRegions((buffer, address) => readAt(memory, buffer, address), regions, needles)
  } finally {
    await memory.close()
  }
}

/** The regions of a maps file that are readable and writable. proc(5): `start-end perms offset dev inode path`. */
export function readRegions(maps: string): Region[] {
  const regions: Region[] = []
  for (const line of maps.split('\n')) {
    const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? []
    if (start !== undefined && end !== undefined)
      regions.push({ start: parseInt(start, 16), end: parseInt(end, 16) })
  }
  return regions
}

/**
 * Counts the places where a needle begins, each once however the chunks lie: a chunk keeps the end of the one before it,
 * one byte shorter than the needle, so that a needle across the seam is seen whole and none inside is seen twice.
 */
export async function countInRegions(
  read: ReadMemory,
  regions: readonly Region[],
  needles: readonly Uint8Array[],
  chunkBytes = CHUNK_BYTES,
): Promise<number[]> {
  const counts = needles.map(() => 0)
  const carried = Math.max(0, ...needles.map(({ length }) => length - 1))
  const buffer = Buffer.alloc(carried + chunkBytes)
  for (const { start, end } of joined(regions)) {
    let kept = 0
    for (let address = start; address < end; ) {
      const wanted = Math.min(chunkBytes, end - address)
      const got = await read(buffer.subarray(kept, kept + wanted), address)
      if (got === 0) {
        // Not there any more, or never backed: what comes after it is not its continuation.
        kept = 0
        address += wanted
        continue
      }
      const filled = kept + got
      for (const [index, needle] of needles.entries()) {
        // Only what reaches into the new bytes: the rest was counted with the chunk before.
        const from = Math.max(0, kept - needle.length + 1)
        counts[index] = (counts[index] as number) + countIn(buffer.subarray(from, filled), needle)
      }
      const keep = Math.min(carried, filled)
      buffer.copyWithin(0, filled - keep, filled)
      kept = keep
      address += got
    }
  }
  buffer.fill(0) // it held another process's secrets
  return counts
}

function countIn(haystack: Buffer, needle: Uint8Array): number {
  let count = 0
  for (let at = haystack.indexOf(needle); at !== -1; at = haystack.indexOf(needle, at + 1)) count++
  return count
}

/** The kernel splits what a program sees as one: a needle may lie across the border. */
function joined(regions: readonly Region[]): Region[] {
  const result: Region[] = []
  for (const region of regions) {
    const last = result.at(-1)
    if (last !== undefined && last.end === region.start)
      result[result.length - 1] = { start: last.start, end: region.end }
    else result.push(region)
  }
  return result
}

async function opened(pid: number): Promise<FileHandle> {
  try {
    return await open(`/proc/${pid}/mem`, 'r')
  } catch (cause) {
    return translate(cause)
  }
}

/** EIO: the region has gone, or is a device's. */
async function readAt(memory: FileHandle, buffer: Uint8Array, address: number): Promise<number> {
  try {
    return (await memory.read(buffer, 0, buffer.length, address)).bytesRead
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EIO') return 0
    return translate(cause)
  }
}

function translate(cause: unknown): never {
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'EACCES' || code === 'EPERM')
    throw new MemorySearchError('ERR_MEMORY_SEARCH_NOT_PERMITTED', { cause })
  if (code === 'ENOENT' || code === 'ESRCH')
    throw new MemorySearchError('ERR_MEMORY_SEARCH_NO_PROCESS', { cause })
  throw cause
}

// Reads a small secret file into memory that can be wiped.
//
// Without a promise: four system calls of a local file take 20 µs, and 150 when each goes through the thread pool, which
// for ten thousand keys is the difference of a second. Its directory was listed just before, through the pool.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { Logger } from '@latchkey/core'
import { KeysError } from './errors.ts'

export interface ReadSecretOptions {
  readonly maxBytes: number
  readonly logger: Logger
}

/** Group and other bits of a file mode. */
const OTHERS = 0o077

/**
 * The contents of `path`, in memory of its own outside the JavaScript heap: the caller wipes it (`fill(0)`).
 * A file that others may open is read, with a warning: Kubernetes mounts secrets 0644 unless told otherwise.
 *
 * @throws {KeysError} ERR_KEYS_UNREADABLE, ERR_KEYS_LIMIT
 */
export function readSecretFile(path: string, { maxBytes, logger }: ReadSecretOptions): Buffer {
  let file: number | undefined
  try {
    // O_NONBLOCK: opening a FIFO must not wait for a writer that never comes.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stat = fstatSync(file)
    if (!stat.isFile()) {
      throw new KeysError('ERR_KEYS_UNREADABLE', { path, found: 'something that is not a regular file' })
    }
    if (stat.size > maxBytes) {
      throw new KeysError('ERR_KEYS_LIMIT', {
        path,
        found: `${stat.size} bytes`,
        expected: `at most ${maxBytes}`,
      })
    }
    if ((stat.mode & OTHERS) !== 0) {
      logger.warning(
        `${path}: mode ${(stat.mode & 0o777).toString(8).padStart(4, '0')} lets others at this secret; hint: chmod 0400`,
        { path },
      )
    }
    return readAll(file, stat.size, path)
  } catch (cause) {
    throw cause instanceof KeysError ? cause : unreadable(path, cause)
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** One byte more than the size said: a file that fills it has grown meanwhile. */
function readAll(file: number, size: number, path: string): Buffer {
  const buffer = Buffer.allocUnsafeSlow(size + 1)
  let length = 0
  try {
    while (length < buffer.length) {
      const bytesRead = readSync(file, buffer, length, buffer.length - length, null)
      if (bytesRead === 0) return buffer.subarray(0, length)
      length += bytesRead
    }
  } catch (cause) {
    buffer.fill(0)
    throw cause
  }
  buffer.fill(0)
  throw new KeysError('ERR_KEYS_UNREADABLE', {
    path,
    found: 'a file that grew while it was read',
    hint: 'write the new file beside it and rename it into place',
  })
}

const ERRNO_HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'check the spelling, and that the volume is mounted',
  EACCES: 'give the user this process runs as the right to read it (and to enter the directories above it)',
  EPERM: 'give the user this process runs as the right to read it',
  EISDIR: 'this is a directory: configure it as one',
  ENOTDIR: 'this is a file: configure it as one',
  ELOOP: 'its symbolic links go in a circle',
}

/** An error of the file system, said with the path it happened to and what helps. */
export function unreadable(path: string, cause: unknown): KeysError {
  const code = errnoOf(cause)
  return new KeysError('ERR_KEYS_UNREADABLE', {
    path,
    found: code ?? (cause instanceof Error ? cause.message : String(cause)),
    hint: code === undefined ? undefined : ERRNO_HINTS[code],
    cause,
  })
}

/** `ENOENT` and the like, if it is an error of the operating system. */
export function errnoOf(cause: unknown): string | undefined {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined
}

// Finds the key files below a directory.
import type { Dirent } from 'node:fs'
import { opendir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '@latchkey/core'
import { KeysError } from './errors.ts'
import { unreadable } from './secret-file.ts'

/** Names seen in all, keys or not: somebody configured `/` or a cache, not a key directory. */
const MAX_NAMES = 100_000
/** Deeper than anyone files keys. */
const MAX_DEPTH = 16

/** At least one character, then `.key`, and that is the end: `.key` alone is a hidden file, `a.key.bak` a backup. */
const KEY_NAME = /.\.key$/s
/** Taken by gokeyless, whose pattern has no end: worth a word to whoever moves from there. */
const LOOSE_KEY_NAME = /.\.key/s
const PASSPHRASE_NAME = /\.passphrase$/

export interface FindOptions {
  readonly logger: Logger
  readonly signal?: AbortSignal | undefined
  /** For tests: names seen in all before it is an error. */
  readonly maxNames?: number
}

/**
 * Paths of the key files below `root`, in the byte order of their names, directory by directory.
 *
 * Links are followed to files, and `root` itself may be a link; linked directories below it are not entered, nor are
 * directories whose name begins with `..`: that is where Kubernetes keeps the versions of a mounted secret, whose
 * current files are linked from above.
 *
 * @throws {KeysError} ERR_KEYS_UNREADABLE, ERR_KEYS_LIMIT
 */
export async function findKeyFiles(
  root: string,
  { logger, signal, maxNames = MAX_NAMES }: FindOptions,
): Promise<string[]> {
  const files: string[] = []
  let names = 0

  const walk = async (directory: string, depth: number): Promise<void> => {
    if (depth > MAX_DEPTH) {
      throw new KeysError('ERR_KEYS_LIMIT', {
        path: directory,
        found: `more than ${MAX_DEPTH} directories inside each other`,
      })
    }
    for (const entry of await namesIn(directory)) {
      signal?.throwIfAborted()
      const path = join(directory, entry.name)
      if (entry.isDirectory()) {
        if (!entry.name.startsWith('..')) await walk(path, depth + 1)
      } else if (!KEY_NAME.test(entry.name)) {
        if (LOOSE_KEY_NAME.test(entry.name) && !PASSPHRASE_NAME.test(entry.name)) {
          logger.warning(`skipped ${path}: its name does not end in ".key"`, { path })
        }
      } else if (entry.isSymbolicLink() && (await isDirectory(path))) {
        logger.warning(`skipped ${path}: a link to a directory is not entered`, { path })
      } else {
        files.push(path)
      }
    }
  }

  const namesIn = async (directory: string): Promise<Dirent[]> => {
    const entries: Dirent[] = []
    try {
      for await (const entry of await opendir(directory)) {
        if (++names > maxNames) {
          throw new KeysError('ERR_KEYS_LIMIT', {
            path: root,
            found: `more than ${maxNames} files`,
            hint: 'keep keys in a directory of their own',
          })
        }
        entries.push(entry)
      }
    } catch (cause) {
      throw cause instanceof KeysError ? cause : unreadable(directory, cause)
    }
    return entries
      .map((entry) => ({ entry, bytes: Buffer.from(entry.name) }))
      .sort((left, right) => Buffer.compare(left.bytes, right.bytes))
      .map(({ entry }) => entry)
  }

  await walk(root, 0)
  return files
}

/** A dangling link is no directory: it is reported when the file is read. */
async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch {
    return false
  }
}

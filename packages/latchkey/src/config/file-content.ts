// Files that a configuration names: read once, errors told in the words of the configuration.
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { ConfigError, type ConfigErrorDetail } from './config-error.ts'

/** A certificate chain or a key is a few kilobytes; a device or a log named by mistake is not read to its end. */
const MAX_FILE_BYTES = 1024 * 1024

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'no permission to read it',
  EISDIR: 'a directory',
}

/**
 * The text of the file at `path`, relative to `cwd`.
 *
 * @throws {ConfigError} ERR_CONFIG_REFERENCE with `detail` and what was found in place of the file.
 */
export function readReferenced(path: string, cwd: string, detail: ConfigErrorDetail): string {
  const file = resolve(cwd, path)
  const refuse = (found: string, cause?: unknown): never => {
    throw new ConfigError('ERR_CONFIG_REFERENCE', { ...detail, found: `${file}: ${found}`, cause })
  }
  try {
    const stat = statSync(file)
    if (stat.isDirectory()) refuse('a directory')
    if (stat.size > MAX_FILE_BYTES) refuse(`${stat.size} bytes`)
    return readFileSync(file, 'utf8')
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    const { code = '', message } = cause as NodeJS.ErrnoException
    return refuse(REASONS[code] ?? message, cause)
  }
}

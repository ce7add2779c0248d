// The configuration file itself.
import { readFileSync } from 'node:fs'
import { ConfigError } from './config-error.ts'
import { parseYaml, type YamlFile } from './yaml-file.ts'

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'no permission to read it',
  EISDIR: 'a directory',
}

/**
 * @param file absolute.
 * @throws {ConfigError} ERR_CONFIG_FILE, ERR_CONFIG_SYNTAX.
 */
export function readConfigFile(file: string): YamlFile {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException
    throw new ConfigError('ERR_CONFIG_FILE', { file, found: REASONS[code] ?? message, cause })
  }
  return parseYaml(file, text)
}

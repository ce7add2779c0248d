// A YAML file whose values can be found again: each setting has a line and a column.
import { isNode, LineCounter, parseDocument } from 'yaml'
import { ConfigError } from './config-error.ts'

export type SettingPath = readonly (string | number)[]

export interface YamlFile {
  readonly file: string
  /** The plain value; undefined for an empty file. */
  readonly value: unknown
  /** Where the setting is, or the innermost thing around it that exists. */
  locate(path: SettingPath): { line: number; column: number } | undefined
}

/** A configuration is a page or two; aliases must not make a page into gigabytes. */
const MAX_ALIASES = 100

/** @throws {ConfigError} ERR_CONFIG_SYNTAX with line and column. */
export function parseYaml(file: string, text: string): YamlFile {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, prettyErrors: false, strict: true })
  const [error] = document.errors
  if (error !== undefined) {
    const { line, col } = lineCounter.linePos(error.pos[0])
    throw new ConfigError('ERR_CONFIG_SYNTAX', { file, line, column: col, found: error.message })
  }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: MAX_ALIASES }) ?? undefined
  } catch (cause) {
    throw new ConfigError('ERR_CONFIG_SYNTAX', { file, found: (cause as Error).message, cause })
  }
  return {
    file,
    value,
    locate(path) {
      for (let length = path.length; length >= 0; length--) {
        const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
        if (isNode(node) && node.range) {
          const { line, col } = lineCounter.linePos(node.range[0])
          return { line, column: col }
        }
      }
      return undefined
    },
  }
}

/** `hosts[0].origin` */
export function pathText(path: SettingPath): string {
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`))
    .join('')
}

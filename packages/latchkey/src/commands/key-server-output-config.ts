// `latchkey keyserver --output-config`: what file, environment, flags and defaults come to, as YAML without the secrets.
import { stringify } from 'yaml'
import { type KeyServerSources, mergedKeyServerSettings } from '../config/key-server-config.ts'
import { KEY_SERVER_ROWS } from '../config/key-server-settings.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import type { Console } from '../process/console.ts'

const NOT_SHOWN = '(not shown)'
const SECRET_NAMES: ReadonlySet<string> = new Set(
  KEY_SERVER_ROWS.filter(([, row]) => row.isSecret === true).map(([name]) => name),
)

/** Nothing is checked, so that it helps where a start fails. @throws {ConfigError} of a file that cannot be read. */
export function printKeyServerSettings(
  {
    showSecrets,
    ...given
  }: Pick<KeyServerSources, 'configFile' | 'flags'> & { readonly showSecrets: boolean },
  { cwd, env, out }: Console,
): ExitCode {
  const settings = mergedKeyServerSettings({ ...given, cwd, env })
  out(stringify(settings, showSecrets ? undefined : redacted, { lineWidth: 0 }))
  return EXIT.ok
}

/** For each value at every depth. */
function redacted(key: unknown, value: unknown): unknown {
  if (SECRET_NAMES.has(String(key))) return NOT_SHOWN
  return typeof value === 'string' ? withoutPin(value) : value
}

/**
 * A PIN in a PKCS#11 URI. It belongs into the query, where `&` ends it and `?` and `;` may be in it (RFC 7512 §2.3);
 * some write it into the path, where `;` or the query ends it.
 */
function withoutPin(text: string): string {
  const start = text.includes('?') ? text.indexOf('?') : text.length
  const path = text.slice(0, start).replaceAll(/(pin-value=)[^;]*/gi, `$1${NOT_SHOWN}`)
  const query = text.slice(start).replaceAll(/(pin-value=)[^&]*/gi, `$1${NOT_SHOWN}`)
  return path + query
}

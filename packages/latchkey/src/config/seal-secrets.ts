// The secrets that seal what clients want kept secret: session tickets. One a line, the first seals, all unseal.
import { MIN_SEAL_SECRET_BYTES } from '@latchkey/keyserver'
import { ConfigError } from './config-error.ts'
import { readReferenced } from './file-content.ts'
import type { Place } from './settings.ts'

/** Old ones are kept for as long as what they sealed may come back. */
const MAX_SECRETS = 16

/**
 * Reads them. The caller keeps them no longer than it must.
 *
 * @throws {ConfigError} ERR_CONFIG_REFERENCE; it shows nothing of the file.
 */
export function readSealSecrets(path: string, cwd: string, place: Place): Uint8Array[] {
  const hint = `make one with: openssl rand -base64 ${MIN_SEAL_SECRET_BYTES}`
  const expected = `secrets of ${MIN_SEAL_SECRET_BYTES} bytes or more in base64, one a line`
  const detail = { ...place, path: 'seal_secret_file', expected, hint }
  const lines = readReferenced(path, cwd, detail)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const secrets = lines.map((line) => Buffer.from(line, 'base64'))
  const bad = secrets.findIndex(
    (secret, index) =>
      secret.length < MIN_SEAL_SECRET_BYTES || !/^[A-Za-z0-9+/]+={0,2}$/.test(lines[index] ?? ''),
  )
  if (bad === -1 && secrets.length > 0 && secrets.length <= MAX_SECRETS) return secrets
  const found =
    secrets.length === 0
      ? 'no secret'
      : bad === -1
        ? `${secrets.length} secrets, of at most ${MAX_SECRETS}`
        : `one that is too short or not base64 (number ${bad + 1})`
  throw new ConfigError('ERR_CONFIG_REFERENCE', { ...detail, found: `${path}: ${found}` })
}

// The PIN of a token: from the URI, a file, or the environment, read anew for each login.
import { readSecretFile } from '@latchkey/keys/driver'
import { type Logger, silentLogger } from '@latchkey/core'
import { KeysError } from '@latchkey/keys'
import type { Pkcs11Uri } from './uri.ts'

/** PINs are short; a whole file of something else is a mistake. */
const MAX_PIN_FILE = 1024

export interface PinPlaces {
  readonly env?: NodeJS.ProcessEnv | undefined
  readonly logger?: Logger | undefined
}

/**
 * The PIN, or undefined if the URI says none. It is a string because that is what the module's binding takes: it cannot
 * be wiped, and is not kept.
 *
 * @throws {KeysError} ERR_KEYS_UNREADABLE, ERR_KEYS_URI
 */
export function readPin(
  { pinValue, pinSource, text }: Pick<Pkcs11Uri, 'pinValue' | 'pinSource' | 'text'>,
  { env = process.env, logger = silentLogger }: PinPlaces = {},
): string | undefined {
  if (pinValue !== undefined || pinSource === undefined) return pinValue
  if (pinSource.startsWith('env:')) {
    const name = pinSource.slice('env:'.length)
    const value = env[name]
    if (value === undefined || value === '') {
      throw new KeysError('ERR_KEYS_URI', {
        path: text,
        detail: `the environment has no variable ${name} with a PIN`,
      })
    }
    return value
  }
  // RFC 7512 §2.4: "file:" and a path; a bare path is what people write.
  const path = pinSource.replace(/^file:(?:\/\/(?=\/))?/, '')
  const bytes = readSecretFile(path, { maxBytes: MAX_PIN_FILE, logger })
  try {
    return bytes.toString('utf8').replace(/\r?\n[^]*$/, '')
  } finally {
    bytes.fill(0)
  }
}

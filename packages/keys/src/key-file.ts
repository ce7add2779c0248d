// One key file: read, decrypted if need be, handed to OpenSSL, wiped.
import type { Logger } from '@latchkey/core'
import { KeysError } from './errors.ts'
import { locateKey } from './key-encoding.ts'
import { loadPrivateKey, type NativePrivateKey } from './native-key.ts'
import { errnoOf, readSecretFile } from './secret-file.ts'

export interface KeyFileOptions {
  readonly logger: Logger
  readonly allowWeakRsa: boolean
  /** Holds the passphrase of an encrypted key; otherwise `<path>.passphrase` is looked for. */
  readonly passphraseFile: string | undefined
  /** Default true. */
  readonly isChecked?: boolean
}

/** A key with a long chain after it is some 20 kB; nothing near this is a key file. */
export const MAX_KEY_FILE_BYTES = 1 << 20
/** OpenSSL's PEM_BUFSIZE, and a line end. */
const MAX_PASSPHRASE_FILE_BYTES = 1024 + 2

/**
 * Loads the key in the file `path`.
 *
 * @throws {KeysError} ERR_KEYS_UNREADABLE, ERR_KEYS_LIMIT and whatever {@link loadPrivateKey} throws; each names the file.
 */
export function loadKeyFile(path: string, options: KeyFileOptions): NativePrivateKey {
  const bytes = readSecretFile(path, { maxBytes: MAX_KEY_FILE_BYTES, logger: options.logger })
  let passphrase: Buffer | undefined
  try {
    if (locateKey(bytes, path).isEncrypted) passphrase = readPassphrase(path, options)
    const { allowWeakRsa, isChecked } = options
    return loadPrivateKey(bytes, { source: path, allowWeakRsa, passphrase, isChecked })
  } finally {
    bytes.fill(0)
    passphrase?.fill(0)
  }
}

/** The first line of the passphrase file, without its line end; undefined if there is no such file to be found. */
function readPassphrase(keyPath: string, { passphraseFile, logger }: KeyFileOptions): Buffer | undefined {
  const path = passphraseFile ?? `${keyPath}.passphrase`
  try {
    const bytes = readSecretFile(path, { maxBytes: MAX_PASSPHRASE_FILE_BYTES, logger })
    return firstLine(bytes)
  } catch (cause) {
    const isMissing = cause instanceof KeysError && errnoOf(cause.cause) === 'ENOENT'
    if (passphraseFile === undefined && isMissing) return undefined
    throw cause
  }
}

const LF = 0x0a
const CR = 0x0d

/** What follows the line is wiped here, the line by whoever uses it. */
function firstLine(bytes: Buffer): Buffer {
  const end = bytes.indexOf(LF)
  const line = end === -1 ? bytes : bytes.subarray(0, bytes[end - 1] === CR ? end - 1 : end)
  bytes.fill(0, line.length)
  return line
}

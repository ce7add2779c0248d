// The key server's own certificate and key: read and checked together.
import { checkPair, firstCertificate, notAfterWarning } from './certificate-checks.ts'
import { ConfigError } from './config-error.ts'
import { readReferenced } from './file-content.ts'
import type { Place } from './settings.ts'
import type { SettingPath } from './yaml-file.ts'

export interface ServerPairSettings {
  readonly auth_cert: string
  readonly auth_key: string
}

export interface ServerPairCheck {
  readonly cwd: string
  readonly placeOf: (path: SettingPath) => Place
  /** Milliseconds since the epoch. */
  readonly now: number
  /** What to do about a pair that cannot be used. */
  readonly hint: string
}

/** @throws {ConfigError} if they cannot be read, do not belong together, or are not valid now. */
export function readServerPair(
  { auth_cert, auth_key }: ServerPairSettings,
  { cwd, placeOf, now, hint }: ServerPairCheck,
): { readonly cert: string; readonly key: string } {
  try {
    const certificates = {
      ...placeOf(['auth_cert']),
      path: 'auth_cert',
      expected: 'certificates in PEM',
    }
    const cert = readReferenced(auth_cert, cwd, certificates)
    firstCertificate(cert, { ...certificates, found: auth_cert })
    const place = { ...placeOf(['auth_key']), path: 'auth_key' }
    const siteKeys = 'site keys go into private_key_stores'
    const key = readReferenced(auth_key, cwd, { ...place, expected: 'a private key in PEM', hint: siteKeys })
    checkPair(cert, key, { ...place, certFile: auth_cert, keyFile: auth_key, hint: siteKeys })
    // What ends soon is the key server's to warn of; what is not valid now stops the start.
    notAfterWarning(cert, { path: 'auth_cert', place: placeOf(['auth_cert']), file: auth_cert, days: 0, now })
    return { cert, key }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const { code, file, line, column, path, found, expected, cause } = error
    const both =
      error.hint === undefined ? hint : `${error.hint}${error.hint.endsWith('?') ? '' : ';'} ${hint}`
    throw new ConfigError(code, { file, line, column, path, found, expected, cause, hint: both })
  }
}

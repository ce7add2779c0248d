// What can be known of a certificate when a configuration is read: that it is one, and how long it lasts.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { ConfigError, type ConfigErrorDetail } from './config-error.ts'
import type { Place } from './settings.ts'

const DAY_MS = 24 * 3_600_000

/**
 * The first certificate of `pem`.
 *
 * @param detail `found` is the path of the file: what is in it is added.
 * @throws {ConfigError} ERR_CONFIG_REFERENCE
 */
export function firstCertificate(pem: string, detail: ConfigErrorDetail): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch {
    const content = pem.includes('PRIVATE KEY')
      ? 'a private key'
      : pem.trim() === ''
        ? 'an empty file'
        : 'no certificate'
    throw new ConfigError('ERR_CONFIG_REFERENCE', { ...detail, found: `${detail.found}: ${content}` })
  }
}

export interface ValidityCheck {
  /** The setting. */
  readonly path: string
  readonly place: Place
  /** The certificate's file. */
  readonly file: string
  /** Warn when less is left. */
  readonly days: number
  /** Milliseconds since the epoch. */
  readonly now: number
}

/**
 * A warning for a certificate that ends soon.
 *
 * @throws {ConfigError} ERR_CONFIG_CERTIFICATE for one that is not valid now.
 */
export function notAfterWarning(
  pem: string,
  { path, place, file, days, now }: ValidityCheck,
): string | undefined {
  const { validFrom, validTo } = new X509Certificate(pem)
  if (now >= Date.parse(validFrom) && now < Date.parse(validTo)) {
    const left = Math.floor((Date.parse(validTo) - now) / DAY_MS)
    return left < days
      ? `${file} ends on ${day(validTo)}, in ${left} ${left === 1 ? 'day' : 'days'}`
      : undefined
  }
  const isOver = now >= Date.parse(validTo)
  throw new ConfigError('ERR_CONFIG_CERTIFICATE', {
    ...place,
    path,
    found: isOver ? `${file}, which ended on ${day(validTo)}` : `${file}, which begins on ${day(validFrom)}`,
    expected: 'a certificate that is valid now',
    hint: isOver ? undefined : 'is the clock of this machine right?',
  })
}

function day(text: string): string {
  return new Date(text).toISOString().slice(0, 10)
}

export interface PairCheck extends Pick<ConfigErrorDetail, 'file' | 'line' | 'column' | 'path' | 'hint'> {
  readonly certFile: string
  readonly keyFile: string
}

/**
 * Checks that `key` is a private key and belongs to the first certificate of `cert`.
 *
 * @throws {ConfigError} ERR_CONFIG_REFERENCE, ERR_CONFIG_CERTIFICATE
 */
export function checkPair(cert: string, key: string, { certFile, keyFile, hint, ...place }: PairCheck): void {
  let isPair: boolean
  try {
    isPair = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))
  } catch {
    // Why is not passed on: it may quote the input.
    const isCertificate = key.includes('BEGIN CERTIFICATE') && !key.includes('PRIVATE KEY')
    const isEncrypted = /ENCRYPTED/.test(key)
    throw new ConfigError('ERR_CONFIG_REFERENCE', {
      ...place,
      found: `${keyFile}: ${isCertificate ? 'a certificate' : isEncrypted ? 'an encrypted private key' : 'no private key that can be read'}`,
      expected: 'a private key in PEM, not encrypted',
    })
  }
  if (isPair) return
  throw new ConfigError('ERR_CONFIG_CERTIFICATE', {
    ...place,
    found: `${keyFile}, which is not the key of ${certFile}`,
    expected: `the private key of ${certFile}`,
    hint,
  })
}

// What an enrolment needs of the configuration: which files, for whom, by which right, from where.
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { LogLevel } from '@latchkey/core'
import type { Credential, PairFiles } from '@latchkey/enrolment'
import { ConfigError } from './config-error.ts'
import { ENROLMENT_SCHEMA, certificateHint } from './enrolment-settings.ts'
import { readReferenced } from './file-content.ts'
import { KEY_SERVER_SCHEMA, type KeyServerSources, readKeyServerSettings } from './key-server-config.ts'
import { readServerPair } from './server-pair.ts'

export interface EnrolmentConfig {
  readonly logLevel: LogLevel
  readonly files: PairFiles
  readonly hostname: string | undefined
  readonly zoneId: string | undefined
  readonly credential: Credential | undefined
  readonly endpoint: URL
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly warnings: readonly string[]
  /** @throws {ConfigError} if the certificate and key that are there cannot be used now. */
  readonly checkPair: () => void
}

/** @throws {ConfigError} of the settings; the certificate need not be there. */
export function loadEnrolmentConfig(sources: KeyServerSources): EnrolmentConfig {
  const { cwd } = sources
  const schema = KEY_SERVER_SCHEMA.pick({
    loglevel: true,
    auth_cert: true,
    auth_key: true,
    hostname: true,
    zone_id: true,
    api_token: true,
    api_token_file: true,
    origin_ca_api_key: true,
    init_endpoint: true,
    auth_csr: true,
    current_time: true,
  })
  const { settings, placeOf } = readKeyServerSettings(schema, sources)
  const { current_time, api_token, api_token_file, origin_ca_api_key } = settings
  const now = current_time === undefined ? (sources.now ?? Date.now) : () => current_time
  const warnings: string[] = []
  if (current_time !== undefined) {
    const time = new Date(current_time).toISOString()
    warnings.push(`current_time: certificates are checked as of ${time}; this is for tests`)
  }
  let token = api_token
  if (token === undefined && api_token_file !== undefined) {
    const place = { ...placeOf(['api_token_file']), path: 'api_token_file' }
    const expected = 'a file with an API token'
    const parsed = ENROLMENT_SCHEMA.api_token.safeParse(
      readReferenced(api_token_file, cwd, { ...place, expected }),
    )
    if (parsed.data === undefined) {
      const found = `${resolve(cwd, api_token_file)}: no token`
      throw new ConfigError('ERR_CONFIG_REFERENCE', { ...place, expected, found })
    }
    token = parsed.data
    if ((statSync(resolve(cwd, api_token_file)).mode & 0o004) !== 0) {
      warnings.push(`api_token_file: every user of this machine can read ${api_token_file}: chmod o-r`)
    }
  }
  if (token === undefined && origin_ca_api_key !== undefined) {
    warnings.push(
      'origin_ca_api_key: Cloudflare announced the end of service keys for 2026-09-30; set api_token',
    )
  }
  return {
    logLevel: settings.loglevel,
    files: {
      cert: resolve(cwd, settings.auth_cert),
      key: resolve(cwd, settings.auth_key),
      csr: resolve(cwd, settings.auth_csr),
    },
    hostname: settings.hostname,
    zoneId: settings.zone_id,
    credential: credentialOf(token, origin_ca_api_key),
    endpoint: settings.init_endpoint,
    now,
    warnings,
    checkPair: () => {
      readServerPair(settings, { cwd, placeOf, now: now(), hint: certificateHint(settings) })
    },
  }
}

function credentialOf(token: string | undefined, serviceKey: string | undefined): Credential | undefined {
  if (token !== undefined) return { kind: 'api-token', secret: token }
  return serviceKey === undefined ? undefined : { kind: 'service-key', secret: serviceKey }
}

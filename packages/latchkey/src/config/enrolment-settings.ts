// The settings of enrolment, one leaf each, and the clock that certificates are checked by.
import { isIP } from 'node:net'
import { z } from 'zod'
import { filePath, setting, type SettingFault } from './settings.ts'

const DNS_NAME =
  /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i
const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/
const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/
const PRINTABLE = /^[\x21-\x7e]+$/

/** A value that is none may be a secret all the same, or most of one: it is not shown. */
const secret = z.unknown().transform((value, context): string => {
  const said = typeof value === 'string' ? value.trim() : ''
  if (PRINTABLE.test(said)) return said
  const fault: SettingFault = {
    code: 'ERR_CONFIG_VALUE',
    found: 'a value that is none (not shown)',
    hint: 'write it in quotes',
  }
  context.issues.push({ code: 'custom', message: 'a token', input: undefined, params: { ...fault } })
  return z.NEVER
})

/** A token goes there: not in the clear, but for a server on this machine. */
const endpoint = setting('a URL with https, or with http on this machine', (value): URL | undefined => {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined
  const url = new URL(value)
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.test(url.hostname))
  return isSafe && url.username === '' && url.password === '' ? url : undefined
})

export const ENROLMENT_SCHEMA = {
  hostname: setting('a DNS name or an IP address', (value) =>
    typeof value === 'string' && (isIP(value) !== 0 || DNS_NAME.test(value)) ? value : undefined,
  ).optional(),
  zone_id: setting('the id of a zone; in quotes if it is all digits', (value) =>
    typeof value === 'string' && PRINTABLE.test(value) ? value : undefined,
  ).optional(),
  api_token: secret.optional(),
  api_token_file: filePath.optional(),
  origin_ca_api_key: secret.optional(),
  init_endpoint: endpoint,
  auth_csr: filePath,
  current_time: setting('a time such as 2026-11-22T06:22:56Z', (value) =>
    typeof value === 'string' && RFC_3339.test(value) && !Number.isNaN(Date.parse(value))
      ? Date.parse(value)
      : undefined,
  ).optional(),
}

export const ENROLMENT_DEFAULTS = {
  init_endpoint: 'https://api.cloudflare.com/client/v4/certificates/',
  auth_csr: 'server.csr',
}

export interface EnrolmentNames {
  readonly hostname?: string | undefined
  readonly zone_id?: string | undefined
  readonly api_token?: string | undefined
  readonly api_token_file?: string | undefined
  readonly origin_ca_api_key?: string | undefined
}

/** What to do about a certificate that cannot be used. */
export function certificateHint(settings: EnrolmentNames): string {
  const { hostname, zone_id, api_token, api_token_file, origin_ca_api_key } = settings
  const credential = api_token ?? api_token_file ?? origin_ca_api_key
  return hostname !== undefined && zone_id !== undefined && credential !== undefined
    ? 'a start asks for a new one'
    : 'set hostname, zone_id and api_token to enrol, or run once with --config-only, which asks for them, or with --manual-activation, which writes a request to have signed'
}

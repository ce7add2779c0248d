// The entries of `private_key_stores`: files, directories, and keys elsewhere by their URI.
import { parseDuration } from '@latchkey/core'
import { driverOf, type KeyStoreEntry, URI_FORMS } from '@latchkey/keys'
import { z } from 'zod'
import { nearestName } from './nearest-name.ts'
import type { SettingFault } from './settings.ts'

const EXPECTED = 'exactly one of dir, file or uri'

/** What may stand beside `uri`. gokeyless knows none of them. */
const LIMITS: Readonly<Record<string, (value: unknown) => number | undefined>> = {
  max_in_flight: (value) => wholeNumber(value, 1024),
  max_per_second: (value) => wholeNumber(value, 1_000_000),
  timeout: (value) => {
    const ms = typeof value === 'string' ? parseDuration(value) : undefined
    return ms !== undefined && ms >= 10 && ms <= 60_000 ? ms : undefined
  },
}
const LIMITS_EXPECTED = 'max_in_flight: 1 to 1024, max_per_second: 1 to 1000000, timeout: 10ms to 60s'

const entry = z
  .record(z.string(), z.unknown(), { error: EXPECTED })
  .transform((value, context): KeyStoreEntry => {
    const { dir, file, uri, ...others } = value
    const said = [dir, file, uri].filter((part) => part !== undefined && part !== null && part !== '')
    const fault = (params: SettingFault, message: string): never => {
      context.issues.push({ code: 'custom', message, input: value, params: { ...params } })
      return z.NEVER
    }
    if (said.length === 1 && Object.keys(others).length === 0) {
      if (typeof dir === 'string' && dir !== '') return { dir }
      if (typeof file === 'string' && file !== '') return { file }
    }
    if (said.length !== 1 || typeof uri !== 'string' || uri === '') {
      context.issues.push({ code: 'custom', message: EXPECTED, input: value })
      return z.NEVER
    }
    // The URI itself may carry a PIN and is not shown.
    if (driverOf(uri) === undefined) {
      const found = 'a uri of unknown form (not shown)'
      return fault({ code: 'ERR_CONFIG_VALUE', found, hint: `known forms: ${URI_FORMS}` }, EXPECTED)
    }
    for (const [name, given] of Object.entries(others)) {
      const limit = LIMITS[name]
      if (limit === undefined) {
        const near = nearestName(name, Object.keys(LIMITS))
        const hint = near === undefined ? undefined : `did you mean ${near}?`
        const found = `"${name}" beside uri`
        return fault(
          { code: 'ERR_CONFIG_VALUE', found, ...(hint === undefined ? {} : { hint }) },
          LIMITS_EXPECTED,
        )
      }
      if (limit(given) === undefined) {
        return fault(
          { code: 'ERR_CONFIG_VALUE', found: `${name}: ${JSON.stringify(given)}` },
          LIMITS_EXPECTED,
        )
      }
    }
    return {
      uri,
      maxInFlight: LIMITS['max_in_flight']?.(others['max_in_flight']),
      maxPerSecond: LIMITS['max_per_second']?.(others['max_per_second']),
      timeoutMs: LIMITS['timeout']?.(others['timeout']),
    }
  })

export const privateKeyStores = z.array(entry, {
  error: 'a list of stores, such as "- dir: /etc/keyless/keys"',
})

function wholeNumber(value: unknown, most: number): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most
    ? value
    : undefined
}

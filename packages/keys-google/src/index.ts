// Private keys in Google Cloud KMS and Cloud HSM, as a driver of @latchkey/keys.
import type { DriverEntry, DriverOptions, DriverStore } from '@latchkey/keys'
import { RemoteKeyStore } from '@latchkey/keys/driver'
import { googleService } from './google.ts'

/** See {@link KeyDriver}. */
export function openKeyStore(entries: readonly DriverEntry[], options: DriverOptions): Promise<DriverStore> {
  return RemoteKeyStore.open(googleService(options.env ?? process.env), entries, options)
}

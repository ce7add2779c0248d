// Private keys in AWS KMS, as a driver of @latchkey/keys.
import type { DriverEntry, DriverOptions, DriverStore } from '@latchkey/keys'
import { RemoteKeyStore } from '@latchkey/keys/driver'
import { awsService } from './aws.ts'

/** See {@link KeyDriver}. */
export function openKeyStore(entries: readonly DriverEntry[], options: DriverOptions): Promise<DriverStore> {
  return RemoteKeyStore.open(awsService(), entries, options)
}

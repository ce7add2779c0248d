// Private keys in the Transit engine of Vault and OpenBao, as a driver of @latchkey/keys.
import type { DriverEntry, DriverOptions, DriverStore } from '@latchkey/keys'
import { RemoteKeyStore } from '@latchkey/keys/driver'
import { vaultService } from './vault.ts'

/** See {@link KeyDriver}. */
export function openKeyStore(entries: readonly DriverEntry[], options: DriverOptions): Promise<DriverStore> {
  return RemoteKeyStore.open(vaultService(options.env ?? process.env), entries, options)
}

// Private keys in Azure Key Vault and Managed HSM, as a driver of @latchkey/keys.
import type { DriverEntry, DriverOptions, DriverStore } from '@latchkey/keys'
import { RemoteKeyStore } from '@latchkey/keys/driver'
import { azureService } from './azure.ts'

export { type AzureOptions, azureService } from './azure.ts'

/** See {@link KeyDriver}. */
export function openKeyStore(entries: readonly DriverEntry[], options: DriverOptions): Promise<DriverStore> {
  return RemoteKeyStore.open(azureService({ env: options.env ?? process.env }), entries, options)
}

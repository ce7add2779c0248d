// The entries of `private_key_stores`: files and directories now, URIs of drivers by what would be needed.
import type { FileStoreEntry } from '@latchkey/keys'
import { z } from 'zod'
import type { SettingFault } from './settings.ts'

/** How a key's URI is recognised, and the driver it needs. None is part of this version. */
const DRIVERS: readonly (readonly [form: RegExp, driver: string])[] = [
  [/^pkcs11:/i, 'PKCS#11'],
  [
    /\.(?:managedhsm\.azure\.net|vault\.azure\.net|vault\.azure\.cn|vault\.microsoftazure\.de|vault\.usgovcloudapi\.net)\/keys\//i,
    'Azure Key Vault',
  ],
  [/\/keyRings\/.*\/cryptoKeyVersions\//, 'Google Cloud KMS'],
  [/^(?:arn:aws[a-z-]*:kms:|awskms:)/i, 'AWS KMS'],
]

const EXPECTED = 'exactly one of dir, file or uri'

const entry = z
  .record(z.string(), z.unknown(), { error: EXPECTED })
  .transform((value, context): FileStoreEntry => {
    const { dir, file, uri, ...others } = value
    const said = [dir, file, uri].filter((part) => part !== undefined && part !== null && part !== '')
    if (said.length === 1 && Object.keys(others).length === 0) {
      if (typeof dir === 'string' && dir !== '') return { dir }
      if (typeof file === 'string' && file !== '') return { file }
      // The URI itself may carry a PIN and is not shown.
      if (typeof uri === 'string' && uri !== '') {
        context.issues.push({
          code: 'custom',
          message: 'dir or file',
          input: value,
          params: { ...driverMissing(uri) },
        })
        return z.NEVER
      }
    }
    context.issues.push({ code: 'custom', message: EXPECTED, input: value })
    return z.NEVER
  })

export const privateKeyStores = z.array(entry, {
  error: 'a list of stores, such as "- dir: /etc/keyless/keys"',
})

function driverMissing(uri: string): SettingFault {
  const driver = DRIVERS.find(([form]) => form.test(uri))?.[1]
  if (driver === undefined) {
    const hint = 'known forms: pkcs11:…, and key names of Azure, Google and AWS'
    return { code: 'ERR_CONFIG_VALUE', found: 'a uri of unknown form (not shown)', hint }
  }
  const hint = `the ${driver} driver is not part of this version`
  return { code: 'ERR_CONFIG_DRIVER', found: `a ${driver} uri (not shown)`, hint }
}

// Which driver a key's URI needs, and the package that is it.

export interface DriverName {
  /** As people call it. */
  readonly title: string
  /** What is installed, and imported when the first key of its kind is opened. */
  readonly packageName: string
}

interface DriverRow extends DriverName {
  readonly form: RegExp
}

const DRIVERS: readonly DriverRow[] = [
  { title: 'PKCS#11', packageName: '@latchkey/keys-pkcs11', form: /^pkcs11:/i },
  {
    title: 'Azure Key Vault',
    packageName: '@latchkey/keys-azure',
    form: /\.(?:managedhsm\.azure\.net|vault\.azure\.net|vault\.azure\.cn|vault\.microsoftazure\.de|vault\.usgovcloudapi\.net)\/keys\//i,
  },
  {
    title: 'Google Cloud KMS',
    packageName: '@latchkey/keys-google',
    form: /^projects\/.*\/keyRings\/.*\/cryptoKeyVersions\//,
  },
  { title: 'AWS KMS', packageName: '@latchkey/keys-aws', form: /^(?:arn:aws[a-z-]*:kms:|awskms:)/i },
  { title: 'Vault Transit', packageName: '@latchkey/keys-vault', form: /^vault:/i },
]

/** How a key may be named, for people. */
export const URI_FORMS =
  'pkcs11:…, https://….vault.azure.net/keys/…, projects/…/cryptoKeyVersions/…, arn:aws:kms:…, awskms:…, vault:…'

/** @returns undefined: no driver knows this form. */
export function driverOf(uri: string): DriverName | undefined {
  return DRIVERS.find(({ form }) => form.test(uri))
}

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

/** As `keys-pkcs11` opens where nothing is said. */
const DEFAULT_SESSIONS = 16
/** Threads beyond this cost more than they bring. */
const MAX_THREADS = 128

/**
 * Calls that may be under way in libuv's pool at a time, in each of `processes`: a PKCS#11 module blocks the thread that
 * it is called on. Whoever starts a process sets `UV_THREADPOOL_SIZE` by it.
 */
export function blockingCalls(
  entries: readonly { readonly uri?: string | undefined; readonly maxInFlight?: number | undefined }[],
  processes = 1,
): number {
  const byToken = new Map<string, number>()
  for (const { uri, maxInFlight } of entries) {
    if (uri === undefined || !/^pkcs11:/i.test(uri)) continue
    const [path = '', query = ''] = uri.split('?')
    const token = path.replaceAll(/(?:^pkcs11:|;)(?:id|object|type)=[^;]*/gi, '')
    const said = Number(/(?:^|&)max-sessions=(\d{1,4})/.exec(query)?.[1] ?? DEFAULT_SESSIONS)
    byToken.set(token, Math.max(byToken.get(token) ?? 0, maxInFlight ?? said))
  }
  const calls = [...byToken.values()].reduce(
    (sum, each) => sum + Math.max(1, Math.floor(each / processes)),
    0,
  )
  return Math.min(calls, MAX_THREADS)
}

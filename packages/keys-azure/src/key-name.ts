// Which key a URI names: https://HOST/keys/NAME[/VERSION], as gokeyless has it.
import { KeysError } from '@latchkey/keys'

export interface AzureKeyName {
  readonly vaultUrl: string
  readonly name: string
  /** Undefined: the current one, when the key server starts or reloads. */
  readonly version: string | undefined
  readonly isManagedHsm: boolean
}

/** Of the public cloud, China, Germany and the government of the USA. */
const HOSTS =
  /^[a-z0-9-]{1,127}\.(?:(managedhsm\.azure\.net)|vault\.azure\.net|vault\.azure\.cn|vault\.microsoftazure\.de|vault\.usgovcloudapi\.net)$/
const NAME = /^[A-Za-z0-9-]{1,127}$/
const VERSION = /^[0-9a-f]{32}$/

/** @throws {KeysError} ERR_KEYS_URI */
export function readAzureKeyName(uri: string): AzureKeyName {
  const url = URL.canParse(uri) ? new URL(uri) : undefined
  const host = url?.hostname ?? ''
  const [, isManagedHsm] = HOSTS.exec(host) ?? []
  const [empty, keys, name = '', version, ...rest] = url?.pathname.replace(/\/$/, '').split('/') ?? []
  const isRight =
    url?.protocol === 'https:' &&
    url.port === '' &&
    url.username === '' &&
    url.search === '' &&
    HOSTS.test(host) &&
    empty === '' &&
    keys === 'keys' &&
    NAME.test(name) &&
    (version === undefined || VERSION.test(version)) &&
    rest.length === 0
  if (!isRight) {
    throw new KeysError('ERR_KEYS_URI', {
      path: 'Azure key',
      expected:
        'https://<name>.vault.azure.net/keys/<key>/<version>, or managedhsm.azure.net; a version has 32 digits',
    })
  }
  return { vaultUrl: `https://${host}`, name, version, isManagedHsm: isManagedHsm !== undefined }
}

// Which key a URI names: vault:<mount>/keys/<name>[#<version>].
import { KeysError } from '@latchkey/keys'

export interface VaultKeyName {
  /** Where the Transit engine is mounted. */
  readonly mount: string
  readonly name: string
  /** Undefined: the latest one, when the key server starts or reloads. */
  readonly version: number | undefined
}

const FORM =
  /^vault:([A-Za-z0-9_-]+(?:\/[A-Za-z0-9_-]+){0,7})\/keys\/([A-Za-z0-9_.-]{1,128})(?:#(\d{1,6}))?$/i

/** @throws {KeysError} ERR_KEYS_URI */
export function readVaultKeyName(uri: string): VaultKeyName {
  const [, mount, name, version] = FORM.exec(uri) ?? []
  if (mount === undefined || name === undefined || Number(version) === 0) {
    throw new KeysError('ERR_KEYS_URI', {
      path: 'Vault Transit key',
      expected: 'vault:<mount>/keys/<name>, or with #<version>; for instance vault:transit/keys/site#1',
    })
  }
  return { mount, name, version: version === undefined ? undefined : Number(version) }
}

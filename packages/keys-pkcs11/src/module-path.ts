// Where a module is that is known by name: as p11-kit and Debian lay them out.
import { existsSync, readdirSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { KeysError } from '@latchkey/keys'
import type { Pkcs11Uri } from './uri.ts'

/** p11-kit's folders, then where single vendors install. `*`: the triplet of the architecture. */
const FOLDERS = [
  '/usr/lib/*/pkcs11',
  '/usr/lib64/pkcs11',
  '/usr/lib/pkcs11',
  '/usr/lib/*/softhsm',
  '/usr/lib/softhsm',
  '/usr/lib64/softhsm',
  '/usr/lib/*',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib',
  '/opt/homebrew/lib/softhsm',
  '/opt/homebrew/lib',
] as const

/** @throws {KeysError} ERR_KEYS_DRIVER if there is no such file. */
export function modulePath({ modulePath: path, moduleName: name, text }: Pkcs11Uri): string {
  if (path !== undefined) {
    // A bare name would be looked for by the dynamic linker, in places that others may write to.
    if (!isAbsolute(path)) {
      throw notThere(text, `module-path=${path} is not an absolute path`)
    }
    if (!existsSync(path)) throw notThere(text, `${path} is not there`)
    return path
  }
  if (name === undefined || name.includes('/')) throw notThere(text, 'module-name must be a bare name')
  const files = [`${name}.so`, `lib${name}.so`, `${name}-pkcs11.so`, `${name}.dylib`, `lib${name}.dylib`]
  for (const folder of FOLDERS.flatMap(expand)) {
    const found = files.map((file) => join(folder, file)).find((file) => existsSync(file))
    if (found !== undefined) return found
  }
  throw notThere(text, `no ${files[0]} or ${files[1]} in the usual folders; hint: say its module-path`)
}

function expand(folder: string): string[] {
  const [before, after] = folder.split('*')
  if (before === undefined || after === undefined) return [folder]
  try {
    return readdirSync(before)
      .filter((name) => name.includes('-linux-'))
      .map((name) => before + name + after)
  } catch {
    return []
  }
}

function notThere(path: string, detail: string): KeysError {
  return new KeysError('ERR_KEYS_DRIVER', { path, detail })
}

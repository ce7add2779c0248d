// What a user installs: the tarballs that npm would publish, looked into and put into a bare folder. Whoever takes the TLS
// engine or the key server gets no vendor's SDK with it; a driver brings its own.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'

interface Manifest {
  readonly name: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
}

const ROOT = new URL('..', import.meta.url).pathname
const SDKS = /^(?:@azure\/|@aws-sdk\/|@smithy\/|@google-cloud\/|google-auth-library$|pkcs11js$)/

const folder = mkdtempSync(join(tmpdir(), 'latchkey-packed-'))
const manifests = new Map<string, Manifest>()
before(() => {
  const args = ['pack', '--workspaces', '--pack-destination', folder, '--silent', '--ignore-scripts']
  execFileSync('npm', args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] })
  for (const tarball of readdirSync(folder)) {
    const text = execFileSync('tar', ['-xzOf', join(folder, tarball), 'package/package.json'])
    const manifest = JSON.parse(text.toString('utf8')) as Manifest
    manifests.set(manifest.name, manifest)
  }
})
after(() => rmSync(folder, { recursive: true }))

/** Every package that npm installs with `name`, ours by their tarballs and others by what is installed here. */
function closure(name: string, found: Set<string> = new Set()): Set<string> {
  if (found.has(name)) return found
  const manifest = manifests.get(name) ?? installed(name)
  if (manifest === undefined) return found // an optional one for another platform
  found.add(name)
  const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } = manifest
  const peers = Object.keys(peerDependencies ?? {}).filter(
    (peer) => peerDependenciesMeta?.[peer]?.optional !== true,
  )
  for (const next of [...Object.keys({ ...dependencies, ...optionalDependencies }), ...peers])
    closure(next, found)
  return found
}

function installed(name: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8')) as Manifest
  } catch {
    return undefined
  }
}

describe('the packed tarballs', () => {
  for (const name of [
    '@latchkey/tls',
    '@latchkey/keys',
    '@latchkey/keyserver',
    '@latchkey/edge',
    'latchkey',
  ]) {
    test(`${name} brings no SDK`, () => {
      const all = [...closure(name)]
      assert.ok(all.length > 1 && all.includes('@latchkey/core'))
      assert.deepEqual(
        all.filter((each) => SDKS.test(each) || each.startsWith('@latchkey/keys-')),
        [],
      )
    })
  }

  test('@latchkey/tls brings core and nothing else', () => {
    assert.deepEqual(
      [...closure('@latchkey/tls')].filter((name) => !name.includes('koffi')),
      ['@latchkey/tls', '@latchkey/core'],
    )
  })

  for (const [driver, sdk] of [
    ['pkcs11', 'pkcs11js'],
    ['azure', '@azure/keyvault-keys'],
    ['google', 'google-auth-library'],
    ['aws', '@aws-sdk/client-kms'],
  ] as const) {
    test(`@latchkey/keys-${driver} brings ${sdk}, and no other vendor's`, () => {
      const all = [...closure(`@latchkey/keys-${driver}`)]
      assert.ok(all.includes(sdk))
      const families = new Set(
        all
          .filter((each) => SDKS.test(each))
          .map((each) => each.split('/')[0]?.replace('@smithy', '@aws-sdk')),
      )
      assert.equal(families.size, 1, [...families].join())
    })
  }

  test('@latchkey/keys-vault brings no package but ours', () => {
    assert.deepEqual(
      [...closure('@latchkey/keys-vault')].filter((name) => !/^@latchkey\/|koffi/.test(name)),
      [],
    )
  })
})

test('installed into a bare folder, without what needs a compiler, keys are ours alone', () => {
  const app = mkdtempSync(join(tmpdir(), 'latchkey-installed-'))
  try {
    const tarballs = readdirSync(folder)
      .filter((name) => /^latchkey-(?:core|keys)-\d/.test(name))
      .map((name) => join(folder, name))
    const args = [
      'install',
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
      '--omit=optional',
      '--offline',
      ...tarballs,
    ]
    execFileSync('npm', args, { cwd: app, stdio: ['ignore', 'ignore', 'pipe'] })
    assert.deepEqual(readdirSync(join(app, 'node_modules', '@latchkey')).toSorted(), ['core', 'keys'])
    assert.deepEqual(
      readdirSync(join(app, 'node_modules')).filter((name) => !name.startsWith('.')),
      ['@latchkey'],
    )
  } finally {
    rmSync(app, { recursive: true })
  }
})

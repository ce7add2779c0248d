// A SoftHSM2 of a test's own: tokens in a temporary folder, made with the tools that operators use.
import { execFileSync } from 'node:child_process'
import type { KeyObject } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isInstalled } from './command.ts'

export const SOFTHSM_MODULE = '/usr/lib/softhsm/libsofthsm2.so'
export const PIN = '1234'
export const WRONG_PIN = '9999'

/** What pkcs11-tool calls them. */
export type Pkcs11ToolKeyType = 'EC:prime256v1' | 'EC:secp384r1' | 'EC:edwards25519' | 'rsa:2048' | 'rsa:3072'

export function isSoftHsmInstalled(): boolean {
  return isInstalled('softhsm2-util') && isInstalled('pkcs11-tool')
}

export class SoftHsm implements Disposable {
  readonly folder: string
  readonly tokens: string
  /** For processes that shall see its tokens. */
  readonly env: Readonly<Record<string, string>>

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'latchkey-softhsm-'))
    this.tokens = join(this.folder, 'tokens')
    mkdirSync(this.tokens, { mode: 0o700 })
    const config = join(this.folder, 'softhsm2.conf')
    writeFileSync(
      config,
      `directories.tokendir = ${this.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
    )
    this.env = { SOFTHSM2_CONF: config }
  }

  /** Initialises a token; returns the folder that holds it. */
  addToken(label: string): string {
    const before = new Set(readdirSync(this.tokens))
    const args = ['--init-token', '--free', '--label', label, '--pin', PIN, '--so-pin', '5678']
    this.#run('softhsm2-util', args)
    const added = readdirSync(this.tokens).find((name) => !before.has(name))
    if (added === undefined) throw new Error('softhsm2-util made no token')
    return join(this.tokens, added)
  }

  generate(token: string, keyType: Pkcs11ToolKeyType, object: string, id: string): void {
    this.tool(token, ['--keypairgen', '--key-type', keyType, '--label', object, '--id', id])
  }

  /** Puts a key that was made elsewhere on the token. */
  importKey(token: string, key: KeyObject, object: string, id: string): void {
    const file = join(this.folder, `${object}.p8`)
    writeFileSync(file, key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    const args = ['--import', file, '--token', token, '--pin', PIN, '--label', object, '--id', id]
    this.#run('softhsm2-util', args)
    rmSync(file)
  }

  /** pkcs11-tool on one of the tokens. */
  tool(token: string, args: readonly string[]): string {
    const login = ['--module', SOFTHSM_MODULE, '--token-label', token, '--login', '--pin', PIN]
    return this.#run('pkcs11-tool', [...login, ...args])
  }

  uri(token: string, object?: string, more = ''): string {
    const name = object === undefined ? '' : `;object=${object}`
    return `pkcs11:token=${token}${name}?module-path=${SOFTHSM_MODULE}&pin-value=${PIN}${more}`
  }

  /** As if it were pulled out; returns what puts it back. */
  pullOut(folder: string): () => void {
    const aside = `${folder}.aside`
    const elsewhere = join(this.folder, 'aside')
    mkdirSync(elsewhere, { recursive: true })
    const target = join(elsewhere, aside.split('/').at(-1) as string)
    renameSync(folder, target)
    return () => renameSync(target, folder)
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }

  #run(program: string, args: readonly string[]): string {
    return execFileSync(program, args, {
      env: { ...process.env, ...this.env },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }
}

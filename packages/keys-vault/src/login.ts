// The token that Vault wants with each request: given, or had by AppRole and had again before it ends.
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { KeysError } from '@latchkey/keys'
import { refusal } from './errors.ts'
import type { HttpClient } from './http-client.ts'

/** Of a lease's life. */
const RENEW_AT = 2 / 3

interface Lease {
  readonly token: string
  readonly renewAt: number
}

export class VaultLogin {
  readonly #http: HttpClient
  readonly #env: NodeJS.ProcessEnv
  readonly #headers: Readonly<Record<string, string>>
  #lease: Lease | undefined
  #running: Promise<Lease> | undefined

  constructor(http: HttpClient, env: NodeJS.ProcessEnv) {
    this.#http = http
    this.#env = env
    const namespace = env['VAULT_NAMESPACE']
    this.#headers = namespace === undefined || namespace === '' ? {} : { 'x-vault-namespace': namespace }
  }

  /** What each request carries. @throws {KeysError} ERR_KEYS_DENIED if there is no token to be had. */
  async headers(signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const token = this.#env['VAULT_TOKEN']
    if (token !== undefined && token !== '') return { ...this.#headers, 'x-vault-token': token }
    if (this.#env['VAULT_ROLE_ID'] === undefined)
      return { ...this.#headers, 'x-vault-token': tokenOfPerson() }
    if (this.#lease === undefined || performance.now() >= this.#lease.renewAt) {
      this.#running ??= this.#logIn(signal).finally(() => (this.#running = undefined))
      this.#lease = await this.#running
    }
    return { ...this.#headers, 'x-vault-token': this.#lease.token }
  }

  /** The token was refused. Returns whether another can be had. */
  forget(): boolean {
    const canLogIn = this.#lease !== undefined
    this.#lease = undefined
    return canLogIn
  }

  async #logIn(signal: AbortSignal): Promise<Lease> {
    const source = 'VAULT_ROLE_ID'
    const answer = await this.#http.ask({
      method: 'POST',
      path: 'auth/approle/login',
      headers: this.#headers,
      body: { role_id: this.#env['VAULT_ROLE_ID'], secret_id: this.#env['VAULT_SECRET_ID'] ?? '' },
      signal,
    })
    if (answer.status === 400) {
      throw new KeysError('ERR_KEYS_DENIED', {
        path: source,
        detail: 'AppRole does not know this role_id and secret_id',
        hint: 'make a new secret_id, and check VAULT_NAMESPACE',
      })
    }
    if (answer.status !== 200) throw refusal(answer, source)
    const { auth } = (answer.body ?? {}) as { auth?: { client_token?: unknown; lease_duration?: unknown } }
    if (typeof auth?.client_token !== 'string') {
      throw new KeysError('ERR_KEYS_REPLY', { path: source, detail: 'an answer without a token' })
    }
    const seconds = typeof auth.lease_duration === 'number' ? auth.lease_duration : 0
    // A lease of 0 does not end.
    const renewAt = seconds === 0 ? Infinity : performance.now() + seconds * 1000 * RENEW_AT
    return { token: auth.client_token, renewAt }
  }
}

/** Where "vault login" puts it. */
function tokenOfPerson(): string {
  try {
    return readFileSync(join(homedir(), '.vault-token'), 'utf8').trim()
  } catch {
    throw new KeysError('ERR_KEYS_DENIED', {
      path: 'VAULT_TOKEN',
      detail: 'no token',
      hint: 'set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID',
    })
  }
}

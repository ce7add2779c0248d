// One PKCS#11 module of this process: initialised once, whoever uses it, and started again when nothing else helps.
//
// C_Finalize while another thread is in a call is a crash (PKCS #11 v2.40 §5.4), so all tokens' calls come back first.
import { KeysError } from '@latchkey/keys'
import { CK, codeOf, type Cryptoki, cryptokiError, type Handle, loadModule } from './cryptoki.ts'
import { CKR } from './return-values.ts'

/** Longer than any signature; a call that does not come back at all makes a restart impossible. */
const DRAIN_MS = 5000

/** Who has sessions in a module. */
export interface ModuleUser {
  drain(ms: number): Promise<void>
  /** All sessions and handles are of no use any more. */
  moduleRestarted(): void
  resume(): void
}

export class Pkcs11Module implements Disposable {
  static readonly #open = new Map<string, Pkcs11Module>()

  readonly path: string
  readonly cryptoki: Cryptoki
  readonly #users = new Set<ModuleUser>()
  #holders = 0
  #restart: Promise<void> | undefined

  private constructor(path: string) {
    this.path = path
    this.cryptoki = loadModule(path)
    this.#initialize()
  }

  /** The module at `path`, the same one for each who opens it; dispose it as often. @throws {KeysError} */
  static open(path: string): Pkcs11Module {
    const module = Pkcs11Module.#open.get(path) ?? new Pkcs11Module(path)
    Pkcs11Module.#open.set(path, module)
    module.#holders++
    return module
  }

  [Symbol.dispose](): void {
    if (--this.#holders > 0) return
    Pkcs11Module.#open.delete(this.path)
    this.#finalize()
  }

  join(user: ModuleUser): void {
    this.#users.add(user)
  }

  leave(user: ModuleUser): void {
    this.#users.delete(user)
  }

  /** Slots with a token in them. */
  slots(): Handle[] {
    return this.cryptoki.C_GetSlotList(true)
  }

  /** Ends the module and starts it again. Those who ask while that goes on share it. @throws {KeysError} */
  restart(): Promise<void> {
    this.#restart ??= this.#restartNow().finally(() => (this.#restart = undefined))
    return this.#restart
  }

  async #restartNow(): Promise<void> {
    const users = [...this.#users]
    try {
      await Promise.all(users.map((user) => user.drain(DRAIN_MS)))
      this.#finalize()
      for (const user of users) user.moduleRestarted()
      this.#initialize()
    } finally {
      for (const user of users) user.resume()
    }
  }

  #initialize(): void {
    try {
      // Without this flag a module may assume that one thread calls it, and signatures run on several.
      this.cryptoki.C_Initialize({ flags: CK.CKF_OS_LOCKING_OK })
    } catch (cause) {
      if (codeOf(cause) === CKR.cryptokiAlreadyInitialized) return // another thread of this process did it
      throw cryptokiError(cause, this.path)
    }
  }

  #finalize(): void {
    try {
      this.cryptoki.C_Finalize()
    } catch (cause) {
      if (codeOf(cause) === undefined) throw new KeysError('ERR_KEYS_CRYPTO', { path: this.path, cause })
    }
  }
}

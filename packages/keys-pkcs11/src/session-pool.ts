// Sessions of one token: each does one operation at a time (PKCS #11 v2.40 §5.11: a second C_SignInit is
// CKR_OPERATION_ACTIVE), so each is lent to one borrower. Who finds none waits in a line that has an end.
import { KeysError } from '@latchkey/keys'
import { codeOf, type Handle } from './cryptoki.ts'
import { CKR } from './return-values.ts'

export interface SessionPoolOptions {
  /** @param isFirst no other is open: the token has forgotten a login, if there was one. */
  readonly open: (isFirst: boolean) => Handle
  readonly close: (session: Handle) => void
  readonly maxSessions: number
  readonly maxQueued: number
}

interface Waiter {
  readonly resolve: (session: Handle) => void
  readonly reject: (reason: Error) => void
}

export class SessionPool {
  readonly #options: SessionPoolOptions
  readonly #waiting = new Set<Waiter>()
  #free: Handle[] = []
  #lent = new Set<Handle>()
  /** What the token grants, once it has refused one. */
  #maxSessions: number
  #drained: PromiseWithResolvers<void> | undefined
  #isPaused = false

  constructor(options: SessionPoolOptions) {
    this.#options = options
    this.#maxSessions = options.maxSessions
  }

  get lent(): number {
    return this.#lent.size
  }

  get queued(): number {
    return this.#waiting.size
  }

  get size(): number {
    return this.#lent.size + this.#free.length
  }

  /** A session, if one is free or may be opened. @throws what opening throws. */
  take(): Handle | undefined {
    if (this.#isPaused) return undefined
    const session = this.#free.pop() ?? this.#openOne()
    if (session !== undefined) this.#lent.add(session)
    return session
  }

  /**
   * The next session that comes back.
   *
   * @throws {KeysError} ERR_KEYS_BUSY if too many wait; the signal's reason.
   */
  async wait(signal: AbortSignal): Promise<Handle> {
    if (this.#waiting.size >= this.#options.maxQueued) {
      throw new KeysError('ERR_KEYS_BUSY', { detail: `${this.#waiting.size} operations wait for a session` })
    }
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<Handle>()
    const waiter: Waiter = { resolve, reject }
    this.#waiting.add(waiter)
    const onAbort = (): void => {
      if (this.#waiting.delete(waiter)) reject(signal.reason as Error)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** The session did what it should and is idle. */
  giveBack(session: Handle): void {
    if (!this.#lent.delete(session)) return // the pool was emptied meanwhile
    if (this.#isPaused) this.#free.push(session)
    else this.#lend(session)
    this.#tellDrained()
  }

  /** The session is of no use any more. */
  discard(session: Handle): void {
    if (!this.#lent.delete(session)) return
    this.#close(session)
    this.#serveNext()
    this.#tellDrained()
  }

  /** Lends no more, and resolves when all are back. @throws {KeysError} ERR_KEYS_UNAVAILABLE if that takes longer than `ms`. */
  async drain(ms: number): Promise<void> {
    this.#isPaused = true
    if (this.#lent.size === 0) return
    this.#drained ??= Promise.withResolvers<void>()
    const late = setTimeout(() => {
      const detail = `${this.#lent.size} calls into the module have not come back`
      this.#drained?.reject(new KeysError('ERR_KEYS_UNAVAILABLE', { detail }))
      this.#drained = undefined
    }, ms)
    try {
      await this.#drained.promise
    } finally {
      clearTimeout(late)
    }
  }

  /** Forgets every session without a call for each: they are closed already, or their module has ended. */
  forget(): void {
    this.#free = []
    this.#lent = new Set()
    this.#maxSessions = this.#options.maxSessions
    this.#tellDrained()
  }

  /** Lends again, after {@link drain}. */
  resume(): void {
    this.#isPaused = false
    while (this.#waiting.size > 0 && this.#serveNext());
  }

  /** Whoever waits is told. */
  refuse(reason: Error): void {
    for (const { reject } of this.#waiting) reject(reason)
    this.#waiting.clear()
  }

  #lend(session: Handle): void {
    const [waiter] = this.#waiting
    if (waiter === undefined) return void this.#free.push(session)
    this.#waiting.delete(waiter)
    this.#lent.add(session)
    waiter.resolve(session)
  }

  /** Whether somebody who waited has a session now. */
  #serveNext(): boolean {
    if (this.#isPaused || this.#waiting.size === 0) return false
    try {
      const session = this.#free.pop() ?? this.#openOne()
      if (session === undefined) return false
      this.#lend(session)
      return true
    } catch (cause) {
      const [waiter] = this.#waiting
      if (waiter === undefined) return false
      this.#waiting.delete(waiter)
      waiter.reject(cause as Error)
      return true
    }
  }

  #openOne(): Handle | undefined {
    if (this.size >= this.#maxSessions) return undefined
    try {
      return this.#options.open(this.size === 0)
    } catch (cause) {
      // Others have the rest: make do with what there is.
      if (codeOf(cause) !== CKR.sessionCount || this.size === 0) throw cause
      this.#maxSessions = this.size
      return undefined
    }
  }

  #close(session: Handle): void {
    try {
      this.#options.close(session)
    } catch {
      // It is gone, which is what was wanted.
    }
  }

  #tellDrained(): void {
    if (this.#lent.size > 0) return
    this.#drained?.resolve()
    this.#drained = undefined
  }
}

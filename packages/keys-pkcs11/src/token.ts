// One token and what keeps it usable.
//
//   ready ──(a call says that the token is gone)──▶ broken ──(sessions anew; else the module anew)──▶ ready
//     │                                              ▲   │
//     │                                              └───┘ again after 1 s, 2 s, … 30 s
//     └──(the PIN was refused)──▶ refused, for the life of this process: another try could lock the token
//
// What can cross: a call that fails while others are under way. The first one breaks the state, the others find it broken;
// a call that began before a recovery and fails after it counts for nothing.
import { setTimeout as delay } from 'node:timers/promises'
import { type Logger, silentLogger } from '@latchkey/core'
import { KeysError, type MaybePromise } from '@latchkey/keys'
import type { DriverObserver, KeyHomeHealth } from '@latchkey/keys/driver'
import { CK, codeOf, type Cryptoki, cryptokiError, Fault, type Handle, type TokenInfo } from './cryptoki.ts'
import type { ModuleUser, Pkcs11Module } from './module.ts'
import { CKR, returnValue } from './return-values.ts'
import { SessionPool } from './session-pool.ts'
import { findSlot } from './slots.ts'
import type { TokenName } from './uri.ts'

const TRIES = 3
const DRAIN_MS = 5000
const FIRST_PAUSE_MS = 1000
const MAX_PAUSE_MS = 30_000
/** A token that worked for so long is not the one that broke before. */
const SETTLED_MS = 60_000

/** How long somebody waits for a session. */
export interface Patience {
  readonly caller?: AbortSignal | undefined
  /** As `performance.now()` counts. */
  readonly until: number
}

export interface TokenOptions {
  readonly name: TokenName
  /** Names the token in errors and metrics. */
  readonly source: string
  /** Asked at each login. Undefined: none is configured. */
  readonly pin: () => string | undefined
  readonly maxSessions: number
  readonly maxQueued: number
  /** Keys are made with the sessions: they can write. */
  readonly isWriting?: boolean | undefined
  /** Logs in although the token says that wrong PINs were tried, as long as it is not the last try: a person looks on. */
  readonly isAttended?: boolean | undefined
  readonly logger?: Logger | undefined
  readonly observer?: DriverObserver | undefined
}

type State =
  | { readonly name: 'ready'; readonly since: number }
  | { readonly name: 'broken'; readonly reason: KeysError; readonly attempt: Promise<unknown> | undefined }
  | { readonly name: 'refused'; readonly reason: KeysError }

export class Token implements ModuleUser, AsyncDisposable {
  readonly source: string
  readonly #module: Pkcs11Module
  readonly #options: TokenOptions
  readonly #logger: Logger
  readonly #pool: SessionPool
  readonly #closing = new AbortController()
  #slot: Handle
  #isSlotKnown = true
  #state: State = { name: 'ready', since: performance.now() }
  #recovering: Promise<void> | undefined
  #pauseMs = FIRST_PAUSE_MS
  #probe: ((session: Handle) => Promise<unknown>) | undefined
  /** Handles of objects that were found in an earlier one are of no use. */
  #generation = 0
  #isClosing = false

  private constructor(module: Pkcs11Module, options: TokenOptions) {
    this.#module = module
    this.#options = options
    this.#logger = options.logger ?? silentLogger
    this.source = options.source
    this.#slot = findSlot(module, options.name, options.source)
    this.#pool = new SessionPool({
      open: (isFirst) => this.#openSession(isFirst),
      close: (session) => this.cryptoki.C_CloseSession(session),
      maxSessions: options.maxSessions,
      maxQueued: options.maxQueued,
    })
  }

  /** Finds the token and logs in. @throws {KeysError} */
  static async open(module: Pkcs11Module, options: TokenOptions): Promise<Token> {
    const token = new Token(module, options)
    module.join(token)
    try {
      await token.run(() => {}, { until: performance.now() + DRAIN_MS })
      return token
    } catch (cause) {
      await token[Symbol.asyncDispose]()
      throw cause
    }
  }

  get cryptoki(): Cryptoki {
    return this.#module.cryptoki
  }

  get slot(): Handle {
    return this.#slot
  }

  get generation(): number {
    return this.#generation
  }

  /** What shows that the token works again, after it was lost. */
  set probe(probe: (session: Handle) => Promise<unknown>) {
    this.#probe = probe
  }

  get needsLogin(): boolean {
    return (this.info().flags & CK.CKF_LOGIN_REQUIRED) !== 0
  }

  info(): TokenInfo {
    return this.cryptoki.C_GetTokenInfo(this.#slot)
  }

  /** Whether private objects can be seen in this session: PKCS #11 v2.40 §5.6, `state`. */
  isLoggedIn(session: Handle): boolean {
    const { state } = this.cryptoki.C_GetSessionInfo(session)
    return state === CK.CKS_RO_USER_FUNCTIONS || state === CK.CKS_RW_USER_FUNCTIONS
  }

  health(): KeyHomeHealth {
    const { source } = this
    const { lent: inFlight, queued } = this.#pool
    if (this.#state.name === 'ready') return { source, state: 'up', inFlight, queued }
    return { source, state: 'down', detail: this.#state.reason.message, inFlight, queued }
  }

  /**
   * Runs `work` with a session of its own, and again with another or after a recovery where that helps.
   *
   * @param work leaves no operation active unless it throws; it may run more than once.
   * @throws {KeysError}; the caller's reason.
   */
  async run<T>(work: (session: Handle) => MaybePromise<T>, wait: Patience): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      if (this.#isClosing) throw this.#closing.signal.reason
      if (this.#state.name !== 'ready') await this.#untilReady(wait)
      const generation = this.#generation
      let session: Handle | undefined
      try {
        session = this.#pool.take() ?? (await this.#pool.wait(signalOf(wait)))
        const result = work(session)
        const value = result instanceof Promise ? await result : result
        this.#pool.giveBack(session)
        return value
      } catch (cause) {
        const code = codeOf(cause)
        const remedy = code === undefined ? 'none' : returnValue(code).remedy
        if (session !== undefined) {
          if (remedy === 'none' || remedy === 'key') this.#pool.giveBack(session)
          else this.#pool.discard(session)
        }
        if (wait.caller?.aborted === true) throw wait.caller.reason
        const error = cryptokiError(cause, this.source)
        if (remedy === 'none') throw error
        if (remedy === 'pin') {
          this.#refuse(error)
          throw error
        }
        if (generation === this.#generation) this.#mend(remedy, error, attempt)
        if (attempt === TRIES) throw error
        this.#options.observer?.retried?.(this.source, error.code)
      }
    }
  }

  drain(ms: number): Promise<void> {
    return this.#pool.drain(ms)
  }

  moduleRestarted(): void {
    this.#generation++
    this.#isSlotKnown = false
    this.#pool.forget()
  }

  resume(): void {
    this.#pool.resume()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = new KeysError('ERR_KEYS_DISPOSED', { path: this.source })
    this.#isClosing = true
    this.#closing.abort(gone)
    this.#pool.refuse(gone)
    await this.#recovering
    await this.#pool.drain(DRAIN_MS).catch(() => {})
    this.#module.leave(this)
    this.#closeSessions()
  }

  async #untilReady(wait: Patience): Promise<void> {
    const state = this.#state
    if (state.name === 'ready') return
    if (state.name === 'refused' || state.attempt === undefined) throw state.reason
    try {
      await Promise.race([state.attempt, aborted(signalOf(wait))])
    } catch (cause) {
      if (wait.caller?.aborted === true) throw wait.caller.reason
      throw cryptokiError(cause, this.source)
    }
    if (this.#state.name !== 'ready') throw this.#state.reason
  }

  #mend(remedy: 'session' | 'login' | 'key' | 'token', error: KeysError, attempt: number): void {
    switch (remedy) {
      case 'session':
        return // the next one is a new one
      case 'key':
        this.#generation++
        return
      case 'login':
        // Whoever is not logged in any more finds no free session that is: all are opened anew, the first with a login.
        return this.#break(error)
      case 'token':
        // A throttled network HSM says CKR_DEVICE_ERROR too: a second session before anything else.
        if (attempt > 1) this.#break(error)
        return
      default:
        return remedy satisfies never
    }
  }

  #refuse(reason: KeysError): void {
    this.#state = { name: 'refused', reason }
    this.#logger.error(
      `${this.source}: ${reason.message}; this token is not used any more until the next start`,
    )
    this.#pool.refuse(reason)
  }

  #break(reason: KeysError): void {
    if (this.#state.name !== 'ready') return
    if (performance.now() - this.#state.since > SETTLED_MS) this.#pauseMs = FIRST_PAUSE_MS
    this.#logger.error(`${this.source}: ${reason.message}; opening it anew`)
    this.#recovering = this.#recover(reason)
  }

  /** Ends when the token is ready, refused, or no longer wanted. */
  async #recover(reason: KeysError): Promise<void> {
    const { signal } = this.#closing
    for (;;) {
      const attempt = this.#openAnew().catch((cause: unknown) => {
        throw this.#notNow(cryptokiError(cause, this.source))
      })
      attempt.catch(() => {}) // looked at below, and by those who wait for it
      this.#state = { name: 'broken', reason, attempt }
      try {
        const step = await attempt
        this.#state = { name: 'ready', since: performance.now() }
        this.#options.observer?.recovered?.(this.source, step)
        this.#logger.info(`${this.source}: works again (${step})`)
        this.#pool.resume()
        return
      } catch (cause) {
        const error = cryptokiError(cause, this.source)
        if (error.code === 'ERR_KEYS_DENIED') return this.#refuse(error)
        if (error.message !== reason.message) this.#logger.error(`${this.source}: ${error.message}`)
        reason = error
        this.#state = { name: 'broken', reason, attempt: undefined }
        this.#pool.refuse(error)
      }
      const pauseMs = this.#pauseMs
      this.#pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) return
    }
  }

  /** New sessions and a login; where that fails, after a restart of the module. Says which it took. */
  async #openAnew(): Promise<'sessions' | 'module'> {
    await this.#pool.drain(DRAIN_MS)
    try {
      this.#closeSessions()
      this.#generation++
      this.#pool.forget()
      await this.#greet()
      return 'sessions'
    } catch (cause) {
      if (cryptokiError(cause, this.source).code === 'ERR_KEYS_DENIED') throw cause
      await this.#module.restart()
      await this.#greet()
      return 'module'
    }
  }

  /** Finds the token again, logs in and signs: some modules log in to a token that is not there. */
  async #greet(): Promise<void> {
    this.#isSlotKnown = false
    const session = this.#openSession(true)
    try {
      await this.#probe?.(session)
    } finally {
      this.cryptoki.C_CloseSession(session)
    }
  }

  /** A token that was there is away, not unknown. */
  #notNow(error: KeysError): KeysError {
    if (error.isTransient || error.code === 'ERR_KEYS_DENIED') return error
    return new KeysError('ERR_KEYS_UNAVAILABLE', { path: this.source, detail: error.message, cause: error })
  }

  #closeSessions(): void {
    try {
      this.cryptoki.C_CloseAllSessions(this.#slot)
    } catch (cause) {
      if (codeOf(cause) === undefined) throw cause
      // They are gone with the token.
    }
  }

  #openSession(isFirst: boolean): Handle {
    const session = this.#openPlainSession()
    if (!isFirst) return session
    try {
      this.#login(session)
      return session
    } catch (cause) {
      try {
        this.cryptoki.C_CloseSession(session)
      } catch {} // the login's failure is the one to tell
      throw cause
    }
  }

  #openPlainSession(): Handle {
    if (!this.#isSlotKnown) this.#findSlotAgain()
    const { cryptoki } = this
    const readWrite = CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION
    if (this.#options.isWriting === true) return cryptoki.C_OpenSession(this.#slot, readWrite)
    try {
      return cryptoki.C_OpenSession(this.#slot, CK.CKF_SERIAL_SESSION)
    } catch (cause) {
      // AWS CloudHSM has no read-only sessions, and says so in one way or another.
      const code = codeOf(cause)
      if (code === undefined || code === CKR.sessionCount || returnValue(code).remedy === 'token') throw cause
      return cryptoki.C_OpenSession(this.#slot, readWrite)
    }
  }

  /** A module that was started again may number its slots anew, and a PIN is for one token. */
  #findSlotAgain(): void {
    try {
      this.#slot = findSlot(this.#module, this.#options.name, this.source)
      this.#isSlotKnown = true
    } catch (cause) {
      const isGone = cause instanceof KeysError && cause.code === 'ERR_KEYS_NOT_FOUND'
      throw isGone ? Fault.tokenNotPresent() : cause
    }
  }

  #login(session: Handle): void {
    if (!this.needsLogin) return
    const { flags } = this.info()
    const pin = this.#options.pin()
    if (pin === undefined && (flags & CK.CKF_PROTECTED_AUTHENTICATION_PATH) === 0) {
      throw new KeysError('ERR_KEYS_DENIED', {
        path: this.source,
        detail: 'the token asks for a PIN and none is configured',
        hint: 'add &pin-source=<file> to the URI',
      })
    }
    this.#checkTriesLeft(flags)
    try {
      this.cryptoki.C_Login(session, CK.CKU_USER, pin)
    } catch (cause) {
      if (codeOf(cause) !== CKR.userAlreadyLoggedIn) throw cause
    }
  }

  /** What is started again and again by a service manager must not try a wrong PIN again and again. */
  #checkTriesLeft(flags: number): void {
    const tried = (flags & CK.CKF_USER_PIN_COUNT_LOW) !== 0
    const isLast = (flags & (CK.CKF_USER_PIN_FINAL_TRY | CK.CKF_USER_PIN_LOCKED)) !== 0
    if (!isLast && (!tried || this.#options.isAttended === true)) return
    // Nothing was tried, so that this may be asked again: somebody may have mended it.
    throw new KeysError('ERR_KEYS_DISABLED', {
      path: this.source,
      detail: isLast
        ? 'one more wrong PIN locks the token, or it is locked'
        : 'a wrong PIN was tried on this token before, so the configured one is not tried',
      hint: 'mend the PIN, then log in once by hand: "latchkey hsm test <uri>", or the tool of the vendor',
    })
  }
}

/** Made only where there is something to wait for. */
function signalOf({ caller, until }: Patience): AbortSignal {
  const deadline = AbortSignal.timeout(Math.max(0, Math.ceil(until - performance.now())))
  return caller === undefined ? deadline : AbortSignal.any([caller, deadline])
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

// A private key on a token, as whoever signs sees it.
import type { KeyObject } from 'node:crypto'
import {
  KeysError,
  type KeyType,
  type PrivateKey,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
  subjectKeyIdentifier,
} from '@latchkey/keys'
import {
  algorithmsOf,
  checkOperation,
  checkSignatureShape,
  type DriverObserver,
  type DriverOperation,
  isPss,
  rsaBlock,
  rsaModulus,
  type SupportedHalf,
  supportedHalf,
} from '@latchkey/keys/driver'
import { CK, Fault, type Handle } from './cryptoki.ts'
import { Deadlines } from './deadlines.ts'
import { mechanismOf, type SigningPlan, signingPlan, type TokenMechanisms } from './mechanisms.ts'
import { findObjects, named } from './objects.ts'
import type { KeyObjectName } from './public-halves.ts'
import type { Token } from './token.ts'

export interface TokenKeyParts {
  readonly token: Token
  readonly source: string
  readonly publicKey: KeyObject
  readonly name: KeyObjectName
  readonly handle: Handle
  readonly mechanisms: TokenMechanisms
  readonly canDecryptRaw: boolean
  /** CKA_ALWAYS_AUTHENTICATE: the PIN is asked for again with each signature. */
  readonly pinForEach: (() => string | undefined) | undefined
  readonly timeoutMs: number
  readonly observer: DriverObserver | undefined
}

interface Located {
  readonly handle: Handle
  readonly generation: number
}

export class TokenKey implements PrivateKey {
  readonly ski: Uint8Array
  readonly keyType: KeyType
  readonly publicKey: KeyObject
  readonly source: string
  readonly decryptRaw?: (ciphertext: Uint8Array, options?: { signal?: AbortSignal }) => Promise<Uint8Array>
  readonly #parts: TokenKeyParts
  readonly #half: SupportedHalf
  readonly #deadlines: Deadlines
  readonly #plans = new Map<SignatureAlgorithm, SigningPlan>()
  #padsHere: boolean
  #algorithms: ReadonlySet<SignatureAlgorithm>
  #located: Located
  readonly #hadLogin: boolean

  /** @throws {KeysError} ERR_KEYS_UNSUPPORTED, ERR_KEYS_WEAK */
  constructor(parts: TokenKeyParts) {
    const spki = parts.publicKey.export({ type: 'spki', format: 'der' })
    this.#parts = parts
    this.#deadlines = new Deadlines(parts.timeoutMs)
    this.#half = supportedHalf(spki, parts.source, false)
    this.publicKey = parts.publicKey
    this.ski = subjectKeyIdentifier(spki)
    this.keyType = this.#half.kind
    this.source = parts.source
    this.#padsHere = !parts.mechanisms.has(CK.CKM_RSA_PKCS_PSS) && this.canPadHere
    this.#algorithms = new Set(
      [...algorithmsOf(this.#half)].filter(
        (name) => parts.mechanisms.has(mechanismOf(name)) || (isPss(name) && this.#padsHere),
      ),
    )
    this.#located = { handle: parts.handle, generation: parts.token.generation }
    this.#hadLogin = parts.token.needsLogin
    if (this.#half.kind === 'rsa' && parts.canDecryptRaw) {
      this.decryptRaw = (ciphertext, { signal } = {}) => this.#decryptRaw(ciphertext, signal)
    }
  }

  get token(): Token {
    return this.#parts.token
  }

  get algorithms(): ReadonlySet<SignatureAlgorithm> {
    return this.#algorithms
  }

  /** Whether the token signs raw RSA. */
  get canPadHere(): boolean {
    return this.#half.kind === 'rsa' && this.#parts.mechanisms.has(CK.CKM_RSA_X_509)
  }

  get padsHere(): boolean {
    return this.#padsHere
  }

  /** From now on PSS is made here: the token says that it can and does not. */
  padHere(): void {
    this.#padsHere = true
    this.#plans.clear()
  }

  /** The token has the mechanism and this key does not do it, as a signature that was tried showed. */
  leaveOut(isRefused: (algorithm: SignatureAlgorithm) => boolean): void {
    this.#algorithms = new Set([...this.#algorithms].filter((name) => !isRefused(name)))
  }

  async sign(
    algorithm: SignatureAlgorithm,
    input: Uint8Array,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    checkOperation(this, algorithm, input, signal)
    const plan = this.#plan(algorithm)
    const data = plan.input(input)
    return this.#inTime('sign', signal, (session) => this.#signIn(session, plan, data))
  }

  /** A signature of no digest, to see whether there is one. */
  async probe(session: Handle): Promise<void> {
    const [algorithm] = this.#algorithms
    if (algorithm === undefined) return
    const { digestBytes } = SIGNATURE_ALGORITHMS[algorithm]
    const plan = this.#plan(algorithm)
    await this.#signIn(session, plan, plan.input(new Uint8Array(digestBytes ?? 0)))
  }

  #signIn(session: Handle, plan: SigningPlan, data: Buffer): Promise<Uint8Array> {
    const { cryptoki } = this.#parts.token
    cryptoki.C_SignInit(session, plan.mechanism, this.#handle(session))
    this.#authenticate(session)
    return new Promise((resolve, reject) => {
      // The binding hands bare pointers to another thread: who calls back holds on to what they point to.
      cryptoki.C_Sign(session, data, Buffer.allocUnsafeSlow(plan.outputBytes), (error, output) => {
        // Null where there is none, whatever the type says.
        if ((error as Error | null) !== null) return reject(error)
        data.fill(0)
        try {
          const signature = plan.output(output)
          checkSignatureShape(this.#half, signature)
          resolve(signature)
        } catch (cause) {
          reject(cause)
        }
      })
    })
  }

  async #decryptRaw(ciphertext: Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array> {
    signal?.throwIfAborted()
    const block = Buffer.from(rsaBlock(rsaModulus(this.publicKey), ciphertext))
    return this.#inTime('decrypt', signal, async (session) => {
      const { cryptoki } = this.#parts.token
      cryptoki.C_DecryptInit(session, { mechanism: CK.CKM_RSA_X_509 }, this.#handle(session))
      this.#authenticate(session)
      const output = Buffer.allocUnsafeSlow(block.length)
      const plaintext = await cryptoki.C_DecryptAsync(session, block, output)
      // Some modules drop zeros in front: the padding's own first byte is one.
      const whole = new Uint8Array(block.length)
      whole.set(plaintext, block.length - plaintext.length)
      output.fill(0)
      block.fill(0) // and held until here, as in #signIn
      return whole
    })
  }

  /** A call into a module cannot be stopped: whoever asked is told in time, and the session comes back when it does. */
  #inTime<T>(
    operation: DriverOperation,
    caller: AbortSignal | undefined,
    work: (session: Handle) => Promise<T>,
  ): Promise<T> {
    const { observer, source, timeoutMs, token } = this.#parts
    const startedAt = performance.now()
    const told = (error: unknown): void => {
      const code = error instanceof KeysError ? error.code : undefined
      observer?.called?.({ source, operation, error: code, durationMs: performance.now() - startedAt })
    }
    return new Promise((resolve, reject) => {
      const deadline = this.#deadlines.start(() => {
        const late = new KeysError('ERR_KEYS_DEADLINE', {
          path: source,
          detail: `no answer within ${timeoutMs} ms`,
        })
        told(late)
        reject(late)
      })
      token.run(work, { caller, until: deadline.at }).then(
        (value) => {
          this.#deadlines.settled(deadline)
          told(undefined)
          return resolve(value)
        },
        (cause: unknown) => {
          this.#deadlines.settled(deadline)
          if (caller?.aborted !== true) told(cause)
          return reject(cause)
        },
      )
    })
  }

  #plan(algorithm: SignatureAlgorithm): SigningPlan {
    const known = this.#plans.get(algorithm)
    if (known !== undefined) return known
    const plan = signingPlan(algorithm, this.#half, this.#padsHere)
    this.#plans.set(algorithm, plan)
    return plan
  }

  /** PKCS #11 v2.40 §5.6: between the start of an operation and its data, for keys that want it. */
  #authenticate(session: Handle): void {
    const { pinForEach, token } = this.#parts
    if (pinForEach !== undefined) token.cryptoki.C_Login(session, CK.CKU_CONTEXT_SPECIFIC, pinForEach())
  }

  #handle(session: Handle): Handle {
    const { token, name, source } = this.#parts
    if (this.#located.generation === token.generation) return this.#located.handle
    const template = named(CK.CKO_PRIVATE_KEY, { id: name.id, object: name.label })
    const found = findObjects(token.cryptoki, session, template)
    const [handle] = found
    if (handle === undefined) {
      // Whoever was logged out sees no private object, and is not told why.
      if (this.#hadLogin && !token.isLoggedIn(session)) throw Fault.notLoggedIn()
      throw new KeysError('ERR_KEYS_NOT_FOUND', { path: source, detail: 'the key is gone from the token' })
    }
    if (found.length > 1) {
      throw new KeysError('ERR_KEYS_NOT_FOUND', {
        path: source,
        detail: `${found.length} keys have its CKA_ID and label: which one it is cannot be told; reload to look again`,
      })
    }
    this.#located = { handle, generation: token.generation }
    return handle
  }
}

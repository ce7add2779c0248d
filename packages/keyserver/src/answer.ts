// What each opcode asks for, and what the client is told when it cannot be had.
import {
  KeysError,
  type KeyStore,
  type MaybePromise,
  type PrivateKey,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
} from '@latchkey/keys'
import {
  type DecryptOpcodeRow,
  type KeylessErrorCode,
  OPCODES,
  opcodeRow,
  readSigningScope,
  type ServiceOpcodeRow,
  type SignOpcodeRow,
} from '@latchkey/wire'
import type { BackgroundLane } from './background-lane.ts'
import { hex, type KeyRequest } from './key-request.ts'
import type { KeyServerObserver } from './observer.ts'
import { scopeFlaw, signingInput } from './scoped-signing.ts'
import type { Unsealed } from './sealing-keys.ts'

/** An operation with a private key. */
export type KeyOperation = SignOpcodeRow<SignatureAlgorithm> | DecryptOpcodeRow

/** What a policy decides about. */
export interface KeyUseQuestion {
  readonly request: KeyRequest
  readonly operation: KeyOperation | ServiceOpcodeRow
  /** Undefined for seal and unseal, which use no key of the store. */
  readonly key: PrivateKey | undefined
}

/**
 * Why this client may not do this, for the operator; undefined: it may. The client is told what it would be told of a key
 * that is not there, and asked after the look-up, so that the time tells it nothing either. If it throws, it denies.
 */
export type Denial = (question: KeyUseQuestion) => string | undefined

/** What seals and unseals for clients: {@link SealingKeys}. */
export interface Sealing {
  /** Undefined: not offered at the moment. */
  seal(content: Uint8Array): Uint8Array | undefined
  unseal(sealed: Uint8Array): Unsealed | undefined
}

export interface Success {
  readonly opcode: number
  readonly payload: Uint8Array | undefined
  /** The payload is a plaintext: ours to wipe, see {@link wipeAnswer}. */
  readonly isSecret: boolean
}

/** A request that got no answer. `stage` decides the log line: did the look-up of the key fail, was it refused, or the operation? */
export class Failure {
  readonly code: KeylessErrorCode
  readonly stage: FailureStage
  /** For the operator; the client is told the code's one byte. */
  readonly reason: string

  constructor(code: KeylessErrorCode, stage: FailureStage, reason: string) {
    this.code = code
    this.stage = stage
    this.reason = reason
  }
}

/** `policy`: this client may not do this with this key, and is told that there is no such key. */
export type FailureStage = 'lookup' | 'policy' | 'operation'

export type Answer = Success | Failure

/** For whoever took an answer and has no more use for it, sent or not. */
export function wipeAnswer(answered: Answer): void {
  if (!(answered instanceof Failure) && answered.isSecret) answered.payload?.fill(0)
}

export interface AnswerOptions {
  readonly keyStore: Pick<KeyStore, 'find'>
  readonly denial: Denial | undefined
  readonly missingSki: 'internal' | 'key-not-found'
  readonly sealing: Sealing | undefined
  /** How often a signature that failed is tried again. */
  readonly signRetries: number
  /** Where operations that take long have their turn. */
  readonly backgroundLane: BackgroundLane
  readonly observer: KeyServerObserver
  /** Told about each look-up, before its outcome is answered. */
  readonly lookedUp: (request: KeyRequest, isFound: boolean) => void
}

/** Answers a request; at once if nothing has to be waited for. Never throws or rejects, whatever the hooks do. */
export function answer(
  request: KeyRequest,
  signal: AbortSignal,
  options: AnswerOptions,
): MaybePromise<Answer> {
  return attempt(
    () => answerByOpcode(request, signal, options),
    (error) => failure('ERR_KEYLESS_INTERNAL', errorText(error)),
  )
}

function answerByOpcode(
  request: KeyRequest,
  signal: AbortSignal,
  options: AnswerOptions,
): MaybePromise<Answer> {
  const row = opcodeRow(request.operation.opcode)
  if (row === undefined) return failure('ERR_KEYLESS_BAD_OPCODE', `opcode ${request.operation.opcode}`)
  switch (row.kind) {
    case 'ping':
      return { opcode: OPCODES.OpPong.code, payload: request.operation.payload, isSecret: false }
    case 'sign':
      return withKey(request, row as SignOpcodeRow<SignatureAlgorithm>, signal, options)
    case 'decrypt':
      return withKey(request, row, signal, options)
    case 'seal':
    case 'unseal':
      return sealing(request, row, options)
    case 'rpc':
      return failure('ERR_KEYLESS_INTERNAL', 'not offered here')
    case 'custom':
      return failure('ERR_KEYLESS_BAD_OPCODE', 'no custom function here')
    case 'response':
    case 'pong':
    case 'error':
      return failure('ERR_KEYLESS_UNEXPECTED_OPCODE', 'a reply in place of a request')
    default:
      return row satisfies never
  }
}

function sealing(
  request: KeyRequest,
  operation: ServiceOpcodeRow,
  { sealing: keys, denial }: AnswerOptions,
): Answer {
  const notOffered = failure('ERR_KEYLESS_INTERNAL', 'no secret for sealing is configured')
  if (keys === undefined) return notOffered
  const refusal = denialOf(denial, { request, operation, key: undefined })
  if (refusal !== undefined) return refusal
  const input = request.operation.payload ?? NO_BYTES
  if (operation.kind === 'seal') {
    const payload = keys.seal(input)
    return payload === undefined ? notOffered : { opcode: OPCODES.OpResponse.code, payload, isSecret: false }
  }
  const content = keys.unseal(input)
  if (content === undefined) return notOffered
  if (content === 'expired') return failure('ERR_KEYLESS_SEALING_KEY_EXPIRED', 'sealed with a retired key')
  if (content === 'invalid') return failure('ERR_KEYLESS_CRYPTOGRAPHY', 'not something that was sealed here')
  return { opcode: OPCODES.OpResponse.code, payload: content, isSecret: true }
}

/** The key, then whether it may be used like this, then its use. */
function withKey(
  request: KeyRequest,
  operation: KeyOperation,
  signal: AbortSignal,
  options: AnswerOptions,
): MaybePromise<Answer> {
  const { ski } = request.operation
  if (ski === undefined) {
    const code = options.missingSki === 'internal' ? 'ERR_KEYLESS_INTERNAL' : 'ERR_KEYLESS_KEY_NOT_FOUND'
    return lookupFailure(code, 'the request names no key')
  }
  const started = performance.now()
  const getting = request.span?.begin('DefaultKeystore.Get')
  const found = attempt(() => options.keyStore.find(ski), lookupBroken)
  return whenReady(found, (key) => {
    options.observer.keyLookedUp?.(performance.now() - started)
    getting?.end(key instanceof Failure ? key.reason : undefined)
    if (key instanceof Failure) return key
    options.lookedUp(request, key !== undefined)
    if (key === undefined) return lookupFailure('ERR_KEYLESS_KEY_NOT_FOUND', `no key with SKI ${hex(ski)}`)
    const refusal = denialOf(options.denial, { request, operation, key })
    if (refusal !== undefined) return refusal
    return useKey(key, {
      request,
      operation,
      signal,
      lane: options.backgroundLane,
      retries: options.signRetries,
    })
  })
}

function denialOf(denial: Denial | undefined, question: KeyUseQuestion): Failure | undefined {
  if (denial === undefined) return undefined
  let reason: string | undefined
  try {
    reason = denial(question)
  } catch (error) {
    reason = `the policy failed: ${errorText(error)}`
  }
  return reason === undefined ? undefined : denied(`denied by policy: ${reason}`)
}

const NO_BYTES = new Uint8Array(0)

interface KeyUse {
  readonly request: KeyRequest
  readonly operation: KeyOperation
  readonly signal: AbortSignal
  readonly lane: BackgroundLane
  readonly retries: number
}

function useKey(key: PrivateKey, use: KeyUse): MaybePromise<Answer> {
  const { operation } = use
  if (key.keyType !== operation.keyType) {
    return failure('ERR_KEYLESS_CRYPTOGRAPHY', `the key is ${key.keyType}, not ${operation.keyType}`)
  }
  return operation.kind === 'sign' ? sign(key, operation.signatureAlgorithm, use) : decrypt(key, use)
}

function sign(key: PrivateKey, algorithm: SignatureAlgorithm, use: KeyUse): MaybePromise<Answer> {
  const { payload = NO_BYTES, extra = NO_BYTES } = use.request.operation
  if (!use.request.isScoped) return signDigest(key, algorithm, payload, use)
  const scope = readSigningScope(extra)
  if (scope === undefined) return outOfScope('no scope that is known here')
  const flaw = scopeFlaw(scope, payload, algorithm, key)
  return flaw === undefined
    ? signDigest(key, algorithm, signingInput(payload, algorithm), use)
    : outOfScope(flaw)
}

/** As little is told to the client as of a key that is not there: what passes is not to be found out by trying. */
function outOfScope(flaw: string): Failure {
  return denied(`denied, out of scope: ${flaw}`)
}

function denied(reason: string): Failure {
  return new Failure('ERR_KEYLESS_KEY_NOT_FOUND', 'policy', reason)
}

/**
 * Checked here for every kind of key store: some sign a digest of any length, and what comes out is useless.
 *
 * @param input for Ed25519 the message.
 */
function signDigest(
  key: PrivateKey,
  algorithm: SignatureAlgorithm,
  input: Uint8Array,
  { request, signal, lane, retries }: KeyUse,
): MaybePromise<Answer> {
  const { digestBytes } = SIGNATURE_ALGORITHMS[algorithm]
  if (digestBytes !== undefined && input.length !== digestBytes) {
    return failure('ERR_KEYLESS_CRYPTOGRAPHY', `a digest of ${input.length} bytes for ${algorithm}`)
  }
  if (!key.algorithms.has(algorithm)) {
    return failure('ERR_KEYLESS_CRYPTOGRAPHY', `the key cannot do ${algorithm}`)
  }
  const { background } = key
  const start = (): MaybePromise<Uint8Array> => {
    if (background === undefined) return key.sign(algorithm, input, { signal })
    return lane.run(request.client, () => background.sign(algorithm, input), signal)
  }
  const signing = request.span?.begin('execute.Sign')
  const attempts = (left: number): MaybePromise<Uint8Array | Failure> =>
    whenReady(attempt(start, operationBroken), (bytes) =>
      bytes instanceof Failure && left > 0 && !signal.aborted ? attempts(left - 1) : bytes,
    )
  return whenReady(attempts(retries), (bytes) => {
    signing?.end(bytes instanceof Failure ? bytes.reason : undefined)
    return bytes instanceof Failure ? bytes : success(bytes, false)
  })
}

/**
 * Raw RSA for every kind of key store: an answer shorter than the modulus has lost its padding, and giving it to a
 * client would make this server a padding oracle.
 */
function decrypt(key: PrivateKey, { request, signal, lane }: KeyUse): MaybePromise<Answer> {
  if (key.decryptRaw === undefined) return failure('ERR_KEYLESS_CRYPTOGRAPHY', 'the key cannot decrypt')
  const ciphertext = request.operation.payload ?? NO_BYTES
  const modulusBits = key.publicKey.asymmetricKeyDetails?.modulusLength ?? 0
  const { background } = key
  const start = (): MaybePromise<Uint8Array> => {
    if (background?.decryptRaw === undefined) return key.decryptRaw?.(ciphertext, { signal }) ?? NO_BYTES
    return lane.run(
      request.client,
      async () => (await background.decryptRaw?.(ciphertext)) ?? NO_BYTES,
      signal,
    )
  }
  const decrypting = request.span?.begin('execute.Decrypt')
  const plaintext = attempt(start, operationBroken)
  return whenReady(plaintext, (bytes) => {
    decrypting?.end(bytes instanceof Failure ? bytes.reason : undefined)
    if (bytes instanceof Failure) return bytes
    if (bytes.length === Math.ceil(modulusBits / 8)) return success(bytes, true)
    bytes.fill(0)
    return failure('ERR_KEYLESS_CRYPTOGRAPHY', 'the key store did not answer with raw RSA')
  })
}

function success(payload: Uint8Array, isSecret: boolean): Answer {
  if (payload.length === 0) return failure('ERR_KEYLESS_CRYPTOGRAPHY', 'the key store answered nothing')
  return { opcode: OPCODES.OpResponse.code, payload, isSecret }
}

function failure(code: KeylessErrorCode, reason: string): Failure {
  return new Failure(code, 'operation', reason)
}

function lookupFailure(code: KeylessErrorCode, reason: string): Failure {
  return new Failure(code, 'lookup', reason)
}

function lookupBroken(error: unknown): Failure {
  return lookupFailure('ERR_KEYLESS_INTERNAL', errorText(error))
}

/** Where the key's home is away or busy, another key server may have an answer: that is not a fault of the request. */
function operationBroken(error: unknown): Failure {
  const isTransient = error instanceof KeysError && error.isTransient
  return failure(isTransient ? 'ERR_KEYLESS_INTERNAL' : 'ERR_KEYLESS_CRYPTOGRAPHY', errorText(error))
}

/** Errors of the key packages carry no secret in their text. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown failure'
}

/** `start` with its failure, thrown or rejected, turned into a value. */
function attempt<T>(
  start: () => MaybePromise<T>,
  broken: (error: unknown) => Failure,
): MaybePromise<T | Failure> {
  try {
    const value = start()
    return value instanceof Promise ? value.catch(broken) : value
  } catch (error) {
    return broken(error)
  }
}

/** Goes on at once where there is nothing to wait for: no promise for a key in this process. */
function whenReady<T, U>(value: MaybePromise<T>, use: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(use) : use(value)
}

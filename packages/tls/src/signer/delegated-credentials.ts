// Delegated credentials from a signer: one signature for each and not one for each handshake. The shell: it asks, waits
// and renews; no handshake waits for it.
//
// What may cross: remove() and the end of a renewal (what came is dropped); the deadline and the signature (whichever
// comes first wins); dispose and a pending signature (the call is aborted).
import type { ClockMs } from '@latchkey/core'
import type { Credential } from '../credential/credential.ts'
import {
  delegatedCredentialContent,
  writeDelegatedCredential,
  writeDelegatedKey,
} from '../credential/delegated-credential.ts'
import {
  checkDelegation,
  CLOCK_SKEW_MS,
  type DelegatedCredential,
  type DelegatedCredentialSource,
  type DelegatedScheme,
  leafOf,
  MAX_VALIDITY_MS,
  notBeforeMs,
  openDelegatedCredential,
  requireDelegationUsage,
} from '../credential/delegation.ts'
import { expiryMs, renewAtMs, retryDelayMs } from '../credential/renewal.ts'
import { generateSignatureKey } from '../crypto-provider.ts'
import { TlsError } from '../errors.ts'
import { SIGNATURE_SCHEMES, type SignatureSchemeName } from '../handshake/signature-scheme.ts'
import type { Signer } from './signer.ts'

export interface DelegatedCredentialsOptions {
  /** Asked with purpose `delegated-credential`, one to two times in each lifetime of each certificate. */
  readonly signer: Signer
  /** How long each is good for. Default 24 hours; 3 hours to 7 days. */
  readonly lifetimeMs?: number
  /** What their keys sign handshakes with. Default `ecdsa_secp256r1_sha256`. */
  readonly scheme?: DelegatedScheme
  /**
   * Whether certificates with RSA keys may delegate. Clients built on NSS, as Firefox is, end the handshake over a delegated
   * credential that an RSA key signed (seen with NSS 3.87). Default false.
   */
  readonly allowRsa?: boolean
  /** For one signature. Default 10,000 ms. */
  readonly signerTimeoutMs?: number
  /** A new one is served from now on. */
  readonly onIssued?: (credential: Credential, issued: DelegatedCredential) => void
  /** There will be another try; handshakes use what there is, or ask the signer themselves. */
  readonly onFailed?: (credential: Credential, error: TlsError) => void
  readonly clock?: ClockMs
  /** From 0 to 1, for the moments of renewal. */
  readonly random?: () => number
  /** Calls `work` once after so long, unless what it returns is called first. A test passes its own. */
  readonly schedule?: (work: () => void, afterMs: number) => () => void
}

/** Renewing one day does not keep a process running. */
function onTimer(work: () => void, afterMs: number): () => void {
  const timer = setTimeout(work, afterMs).unref()
  return () => clearTimeout(timer)
}

const DEFAULT_LIFETIME_MS = 24 * 3_600_000
/** Shorter ones would be served for less than half of the time that clocks may differ by. */
const MIN_LIFETIME_MS = 3 * CLOCK_SKEW_MS
const DEFAULT_SIGNER_TIMEOUT_MS = 10_000
/** Signatures that are asked for at a time: a start with many certificates is not a burst. */
const MAX_ASKING = 4
export const MAX_DELEGATING = 4096
/** The wall clock may be set, and the machine may sleep: it is looked at this often. */
const MAX_WAIT_MS = 900_000

interface Delegation {
  readonly credential: Credential
  current: readonly DelegatedCredential[]
  dueAtMs: number
  isAsking: boolean
  /** In a row. */
  failures: number
}

/**
 * Keeps a delegated credential (RFC 9345) at hand for each certificate it is given. The delegated private keys are in
 * this process for as long as they live: see the README before you use it.
 *
 * @example
 * await using delegatedCredentials = new DelegatedCredentials({ signer })
 * delegatedCredentials.add(credential)
 * const server = createServer({ certificates, signer, delegatedCredentials })
 */
export class DelegatedCredentials implements DelegatedCredentialSource, AsyncDisposable {
  readonly #options: DelegatedCredentialsOptions
  readonly #lifetimeMs: number
  readonly #scheme: DelegatedScheme
  readonly #clock: ClockMs
  readonly #random: () => number
  readonly #delegations = new Map<Credential, Delegation>()
  readonly #asking = new Set<Promise<void>>()
  readonly #end = new AbortController()
  #unschedule: () => void = () => {}

  /** @throws {RangeError} if a time is out of range. */
  constructor(options: DelegatedCredentialsOptions) {
    this.#options = options
    this.#lifetimeMs = options.lifetimeMs ?? DEFAULT_LIFETIME_MS
    if (!(this.#lifetimeMs >= MIN_LIFETIME_MS && this.#lifetimeMs <= MAX_VALIDITY_MS))
      throw new RangeError(`lifetimeMs must be ${MIN_LIFETIME_MS} to ${MAX_VALIDITY_MS}`)
    this.#scheme = options.scheme ?? 'ecdsa_secp256r1_sha256'
    this.#clock = options.clock ?? Date.now
    this.#random = options.random ?? Math.random
  }

  /**
   * Starts to delegate from a certificate. Twice is harmless, and after the end it does nothing.
   *
   * @throws {TlsError} ERR_TLS_CREDENTIAL if it is not for that (RFC 9345 §4.2).
   * @throws {RangeError} if there are too many.
   */
  add(credential: Credential): void {
    if (this.#end.signal.aborted || this.#delegations.has(credential)) return
    requireDelegationUsage(credential)
    if (credential.publicKey.asymmetricKeyType === 'rsa' && this.#options.allowRsa !== true)
      throw new TlsError('ERR_TLS_CREDENTIAL', { detail: 'delegation from an RSA key needs allowRsa' })
    if (this.#delegations.size === MAX_DELEGATING)
      throw new RangeError(`more than ${MAX_DELEGATING} certificates`)
    this.#delegations.set(credential, {
      credential,
      current: [],
      dueAtMs: this.#clock(),
      isAsking: false,
      failures: 0,
    })
    this.#work()
  }

  /** Handshakes with this certificate ask the signer again. */
  remove(credential: Credential): void {
    this.#delegations.delete(credential)
  }

  current(credential: Credential): readonly DelegatedCredential[] {
    return this.#delegations.get(credential)?.current ?? []
  }

  /** Forgets all keys and ends what it has asked for. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort()
    this.#unschedule()
    this.#delegations.clear()
    await Promise.all(this.#asking)
  }

  /** Asks for what is due, and sets the timer for what will be. */
  #work(): void {
    this.#unschedule()
    if (this.#end.signal.aborted) return
    const now = this.#clock()
    let nextMs = MAX_WAIT_MS
    for (const delegation of this.#delegations.values()) {
      if (delegation.isAsking) continue
      if (delegation.dueAtMs > now) nextMs = Math.min(nextMs, delegation.dueAtMs - now)
      else if (this.#asking.size < MAX_ASKING) this.#ask(delegation)
    }
    const { schedule = onTimer } = this.#options
    if (this.#delegations.size > 0) this.#unschedule = schedule(() => this.#work(), nextMs)
  }

  #ask(delegation: Delegation): void {
    delegation.isAsking = true
    const asking = this.#renew(delegation).finally(() => {
      delegation.isAsking = false
      this.#asking.delete(asking)
      this.#work()
    })
    this.#asking.add(asking)
  }

  async #renew(delegation: Delegation): Promise<void> {
    const { credential } = delegation
    const issuedAtMs = this.#clock()
    const expiresAtMs = expiryMs(issuedAtMs, this.#lifetimeMs, credential.notAfterMs)
    // Nothing more can be had of a certificate that is about to end.
    if (expiresAtMs - issuedAtMs < CLOCK_SKEW_MS) {
      delegation.dueAtMs = Infinity
      return
    }
    try {
      const issued = await this.#issue(credential, expiresAtMs)
      if (this.#delegations.get(credential) !== delegation) return
      delegation.current = [issued]
      delegation.failures = 0
      delegation.dueAtMs =
        expiresAtMs === credential.notAfterMs ? Infinity : renewAtMs(issuedAtMs, expiresAtMs, this.#random())
      this.#options.onIssued?.(credential, issued)
    } catch (cause) {
      if (this.#delegations.get(credential) !== delegation) return
      delegation.failures++
      delegation.dueAtMs = this.#clock() + retryDelayMs(delegation.failures, this.#random())
      const error = cause instanceof TlsError ? cause : new TlsError('ERR_TLS_SIGNER', { cause })
      this.#options.onFailed?.(credential, error)
    }
  }

  /** A fresh key, and the certificate's signature for it, checked as a client will. */
  async #issue(credential: Credential, expiresAtMs: number): Promise<DelegatedCredential> {
    const { code, curve } = SIGNATURE_SCHEMES[this.#scheme]
    const { spki, privateKey } = generateSignatureKey(curve)
    const cred = writeDelegatedKey({
      validTimeSeconds: Math.floor((expiresAtMs - notBeforeMs(credential)) / 1000),
      dcCertVerifyAlgorithm: code,
      spki,
    })
    // Best first, as for handshakes.
    const algorithm = SIGNATURE_SCHEMES[credential.schemes[0] as SignatureSchemeName].code
    const signature = await this.#sign({
      keyId: credential.keyId,
      scheme: algorithm,
      content: delegatedCredentialContent(leafOf(credential), cred, algorithm),
      purpose: 'delegated-credential' as const,
      serverName: credential.names[0] ?? '',
      clientAddress: undefined,
    })
    const encoded = writeDelegatedCredential(cred, algorithm, signature)
    try {
      checkDelegation(credential, encoded)
      return openDelegatedCredential({ credential, encoded, privateKey })
    } catch (cause) {
      // All but the signature is ours.
      throw new TlsError('ERR_TLS_SIGNER_WRONG', { cause })
    }
  }

  /** Never waits past the deadline, whatever the signer does. */
  async #sign(request: Omit<Parameters<Signer['sign']>[0], 'deadlineMs'>): Promise<Uint8Array> {
    const { signer, signerTimeoutMs = DEFAULT_SIGNER_TIMEOUT_MS } = this.#options
    const deadline = AbortSignal.timeout(signerTimeoutMs)
    const signal = AbortSignal.any([deadline, this.#end.signal])
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const abort = (): void => reject(new TlsError('ERR_TLS_SIGNER_TIMEOUT'))
    signal.addEventListener('abort', abort, { once: true })
    try {
      const answer = signer.sign({ ...request, deadlineMs: Date.now() + signerTimeoutMs }, signal)
      const signature: unknown = await Promise.race([answer, aborted])
      if (signature instanceof Uint8Array) return signature
      throw new TypeError('a signer answers with a Uint8Array')
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}

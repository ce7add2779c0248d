// What the home of a key can sign. An RSA certificate does not tell: old HSMs and some cloud keys do PKCS#1 v1.5 and no
// PSS, and then TLS 1.3, which wants PSS, must not be chosen. So the key server is asked for one signature of each scheme,
// of bytes that are worth nothing, and the certificate is offered for what verifies. That works with any key server.
//
// An answer that says nothing (no connection, no such key, busy) leaves all schemes in place, and is asked for again.
import { constants, type KeyObject, randomBytes, verify } from 'node:crypto'
import type { Logger } from '@latchkey/core'
import {
  type Credential,
  SIGNATURE_SCHEMES,
  type SignatureSchemeName,
  type Signer,
  type SignRequest,
} from '@latchkey/tls'
import { KeylessError } from '@latchkey/wire'

const TIMEOUT_MS = 3000
/** Keys that are asked for at a time. */
const AT_A_TIME = 4
const FIRST_PAUSE_MS = 1000
/** What could not be had may come: a key server is mended, a policy changed. */
const MAX_PAUSE_MS = 15 * 60_000

/** RFC 8446 §4.4.3. */
const SERVER_CONTEXT = Buffer.from(`${' '.repeat(64)}TLS 1.3, server CertificateVerify\0`)
/** RFC 8422 §5.4: named_curve, x25519, and a key of 32 bytes. */
const X25519_PARAMETERS = Buffer.of(3, 0, 29, 32)

const RSA_SCHEMES = (Object.keys(SIGNATURE_SCHEMES) as SignatureSchemeName[]).filter(
  (name) => SIGNATURE_SCHEMES[name].keyType === 'rsa',
)

type Answer = 'can' | 'cannot' | 'unknown' | 'wrong'

interface Probed {
  readonly credential: Credential
  /** Undefined: not known, so all that the certificate allows. */
  schemes: readonly SignatureSchemeName[] | undefined
  pauseMs: number
  timer: NodeJS.Timeout | undefined
}

export interface KeyAbilitiesOptions {
  readonly signer: Signer
  readonly logger: Logger
  /** Something is known that was not, or is no longer so. */
  readonly onChange: () => void
}

export class KeyAbilities implements Disposable {
  readonly #options: KeyAbilitiesOptions
  /** By key id in hex: RSA keys that are served. */
  readonly #keys = new Map<string, Probed>()
  readonly #closing = new AbortController()

  constructor(options: KeyAbilitiesOptions) {
    this.#options = options
  }

  /** What the key's home can do; undefined: as much as its certificate allows, as far as is known. */
  schemesOf(keyId: Uint8Array): readonly SignatureSchemeName[] | undefined {
    return this.#keys.get(hex(keyId))?.schemes
  }

  /** Looks at the keys of these certificates from now on, and at no others. Resolves when each was asked for once. */
  async watch(credentials: Iterable<Credential>): Promise<void> {
    const wanted = new Map<string, Credential>()
    for (const credential of credentials) {
      // A key on a curve has one way to sign: if it does not, nothing can be offered in its place.
      if (credential.publicKey.asymmetricKeyType === 'rsa') wanted.set(hex(credential.keyId), credential)
    }
    for (const [keyId, { timer }] of this.#keys) {
      if (wanted.has(keyId)) continue
      clearTimeout(timer)
      this.#keys.delete(keyId)
    }
    const fresh = [...wanted].filter(([keyId]) => !this.#keys.has(keyId))
    const left = fresh
      .map(([keyId, credential]): [string, Probed] => [
        keyId,
        { credential, schemes: undefined, pauseMs: FIRST_PAUSE_MS, timer: undefined },
      ])
      .values()
    const worker = async (): Promise<void> => {
      for (const [keyId, probed] of left) {
        this.#keys.set(keyId, probed)
        await this.#probe(keyId, probed)
      }
    }
    await Promise.all(Array.from({ length: AT_A_TIME }, worker))
  }

  [Symbol.dispose](): void {
    this.#closing.abort()
    for (const { timer } of this.#keys.values()) clearTimeout(timer)
    this.#keys.clear()
  }

  async #probe(keyId: string, probed: Probed): Promise<void> {
    const { credential } = probed
    const answers = new Map<SignatureSchemeName, Answer>()
    for (const scheme of RSA_SCHEMES) {
      const answer = await this.#ask(credential, scheme)
      answers.set(scheme, answer)
      // Who says nothing of the first says nothing of the others, and is not asked six times.
      if (answer === 'unknown') break
    }
    if (this.#closing.signal.aborted || this.#keys.get(keyId) !== probed) return
    this.#take(probed, answers)
    const isComplete = RSA_SCHEMES.every((scheme) => answers.get(scheme) === 'can')
    if (isComplete) return
    probed.timer = setTimeout(() => void this.#probe(keyId, probed), probed.pauseMs).unref()
    probed.pauseMs = Math.min(2 * probed.pauseMs, MAX_PAUSE_MS)
  }

  #take(probed: Probed, answers: ReadonlyMap<SignatureSchemeName, Answer>): void {
    if ([...answers.values()].includes('unknown')) return
    const { logger, onChange } = this.#options
    const name = probed.credential.names[0] ?? 'a certificate without a name'
    const able = RSA_SCHEMES.filter((scheme) => answers.get(scheme) === 'can')
    const isWrong = [...answers.values()].includes('wrong')
    if (able.length === 0) {
      const why = isWrong
        ? 'its key server signs with another key: certificate and key do not belong together'
        : 'its key server refuses every signature with this key'
      logger.error(`${name}: ${why}; handshakes will fail`)
      return
    }
    const before = probed.schemes ?? RSA_SCHEMES
    probed.schemes = able.length === RSA_SCHEMES.length ? undefined : able
    if (String(before) === String(probed.schemes ?? RSA_SCHEMES)) return
    if (able.every((scheme) => !SIGNATURE_SCHEMES[scheme].tls13)) {
      logger.warning(
        `${name}: the key's home signs no RSASSA-PSS, so clients get TLS 1.2 with this certificate; hint: use a key that can, or an ECDSA key`,
      )
    } else {
      logger.info(`${name}: the key's home signs ${able.join(', ')}`)
    }
    onChange()
  }

  async #ask(credential: Credential, name: SignatureSchemeName): Promise<Answer> {
    const { code, hash, tls13 } = SIGNATURE_SCHEMES[name]
    const request: SignRequest = {
      keyId: credential.keyId,
      scheme: code,
      content: tls13
        ? Buffer.concat([SERVER_CONTEXT, randomBytes(32)])
        : Buffer.concat([randomBytes(64), X25519_PARAMETERS, randomBytes(32)]),
      purpose: tls13 ? 'tls13-server-cv' : 'tls12-ske',
      serverName: (credential.names[0] ?? '').replace(/^\*/, 'www'),
      clientAddress: undefined,
      deadlineMs: Date.now() + TIMEOUT_MS,
    }
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(TIMEOUT_MS)])
    try {
      const signature = await this.#options.signer.sign(request, signal)
      return isSignature(credential.publicKey, request.content, signature, hash ?? 'sha256', tls13)
        ? 'can'
        : 'wrong'
    } catch (error) {
      return error instanceof KeylessError && error.code === 'ERR_KEYLESS_CRYPTOGRAPHY' ? 'cannot' : 'unknown'
    }
  }
}

function isSignature(
  key: KeyObject,
  content: Uint8Array,
  signature: Uint8Array,
  hash: string,
  isPss: boolean,
): boolean {
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
  return verify(hash, content, { key, ...(isPss ? pss : {}) }, signature)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

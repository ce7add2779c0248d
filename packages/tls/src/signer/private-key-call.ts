// The one private-key operation of a handshake, from the question to its answer.
import type { Credential } from '../credential/credential.ts'
import { TlsError } from '../errors.ts'
import type { ServerContext } from '../server-context.ts'
import type { EndOfCall } from './signer-load.ts'

/** Up to here it is not worth a record and a packet of its own to let the client look at the certificate meanwhile. */
const QUICK_SIGNER_MS = 2

export class PrivateKeyCall {
  readonly id: number
  /** Whether our flight goes out as far as it is, before the answer has come. */
  readonly flushesEarly: boolean
  readonly #end: EndOfCall
  #answer: Uint8Array | TlsError | undefined

  constructor(id: number, credential: Credential, context: ServerContext) {
    this.id = id
    this.flushesEarly = flushesEarly(credential, context)
    this.#end = context.signerLoad.begin(credential)
  }

  get isAnswered(): boolean {
    return this.#answer !== undefined
  }

  /** Whether the answer was wanted: there is only one. */
  answer(answer: Uint8Array | TlsError): boolean {
    if (this.#answer !== undefined) return false
    this.#answer = answer
    this.#end(answer instanceof Uint8Array)
    return true
  }

  /** undefined: not yet. @throws {TlsError} if the operation failed. */
  result(): Uint8Array | undefined {
    if (this.#answer instanceof TlsError) throw this.#answer
    return this.#answer
  }

  /** Nobody waits any more. */
  end(): void {
    this.#end(false)
  }
}

/** A signer that nobody knows yet may be slow. */
function flushesEarly(credential: Credential, { earlyFlush, signerLoad }: ServerContext): boolean {
  if (earlyFlush !== 'auto') return earlyFlush === 'always'
  const latencyMs = signerLoad.latencyMs(credential)
  return latencyMs === undefined || latencyMs > QUICK_SIGNER_MS
}

// A PrivateKey whose home is asked over a network, one call an operation.
import type { KeyObject } from 'node:crypto'
import { algorithmsOf, isPss } from '../algorithms.ts'
import type { KeyType, PrivateKey, SignatureAlgorithm } from '../private-key.ts'
import { subjectKeyIdentifier } from '../ski.ts'
import { type SupportedHalf, supportedHalf } from '../supported-half.ts'
import { checkOperation } from './operation-input.ts'
import type { RemoteCalls } from './remote-calls.ts'
import { checkSignatureShape } from './signature-shape.ts'

/** One key as its service knows it. */
export interface RemoteHome {
  readonly publicKey: KeyObject
  /** What the service does with this key; what its type has no room for is left out. */
  readonly algorithms: Iterable<SignatureAlgorithm>
  /**
   * @param input of the right length, and not changed by anybody until this settles.
   * @returns the signature as TLS carries it.
   * @throws {KeysError} and nothing else.
   */
  sign(algorithm: SignatureAlgorithm, input: Uint8Array, signal: AbortSignal): Promise<Uint8Array>
}

export class RemoteKey implements PrivateKey {
  readonly ski: Uint8Array
  readonly keyType: KeyType
  readonly publicKey: KeyObject
  readonly algorithms: ReadonlySet<SignatureAlgorithm>
  readonly source: string
  readonly #half: SupportedHalf
  readonly #home: RemoteHome
  readonly #calls: RemoteCalls

  /** @throws {KeysError} ERR_KEYS_UNSUPPORTED, ERR_KEYS_WEAK */
  constructor(home: RemoteHome, calls: RemoteCalls) {
    const spki = home.publicKey.export({ type: 'spki', format: 'der' })
    this.#half = supportedHalf(spki, calls.source, false)
    this.#home = home
    this.#calls = calls
    this.publicKey = home.publicKey
    this.ski = subjectKeyIdentifier(spki)
    this.keyType = this.#half.kind
    this.source = calls.source
    const able = algorithmsOf(this.#half)
    this.algorithms = new Set([...home.algorithms].filter((name) => able.has(name)))
  }

  async sign(
    algorithm: SignatureAlgorithm,
    input: Uint8Array,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    checkOperation(this, algorithm, input, signal)
    const own = input.slice() // the caller may use its memory again before the turn comes
    return this.#calls.run(
      'sign',
      async (abort) => {
        const signature = await this.#home.sign(algorithm, own, abort)
        checkSignatureShape(this.#half, signature)
        return signature
      },
      signal,
    )
  }
}

/** What an operator should know of a key that can do less than clients will ask; undefined: nothing. */
export function shortcoming({
  keyType,
  algorithms,
}: Pick<PrivateKey, 'keyType' | 'algorithms'>): string | undefined {
  if (keyType !== 'rsa') return undefined
  const names = [...algorithms]
  if (!names.some(isPss)) {
    return 'signs no RSASSA-PSS, so it is of no use for TLS 1.3; hint: take a key that can, or better an ECDSA key'
  }
  if (names.every(isPss)) {
    return 'signs RSASSA-PSS only: clients of TLS 1.2 that do not know it cannot connect'
  }
  return undefined
}

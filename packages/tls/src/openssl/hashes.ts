// SHA-256, SHA-384 and their HMAC in the page.
import { allocate } from '@latchkey/core'
import type { HashName, Primitives, RunningHash } from '../crypto-provider.ts'
import {
  CONTEXT_AT,
  DATA_AT,
  HMAC_END,
  INNER_HASH_AT,
  INPUT_AT,
  KEY_AT,
  MAX_DATA_BYTES,
  MAX_INPUT_BYTES,
  must,
  type Page,
  type Pointer,
  RESULT_AT,
} from './page.ts'

export function bindHashes({
  openSsl,
  memory,
  pointer,
}: Page): Pick<Primitives, 'digest' | 'createHash' | 'hmac' | 'hkdfExtract'> {
  const words = new Uint32Array(memory.buffer, 0, HMAC_END / 4)
  const innerHash = pointer(INNER_HASH_AT)
  const result = pointer(RESULT_AT)
  const context = pointer(CONTEXT_AT)
  const data = pointer(DATA_AT)
  const { SHA256_Init, SHA256_Update, SHA256_Final, SHA384_Init, SHA384_Update, SHA384_Final } = openSsl

  // Only a call whose callee is always the same is compiled into its caller: so each is written out.
  function update(name: HashName, from: Pointer, bytes: number): void {
    const length = BigInt(bytes)
    must(name === 'sha256' ? SHA256_Update(context, from, length) : SHA384_Update(context, from, length))
  }

  function finish(name: HashName, target: Pointer): void {
    must(name === 'sha256' ? SHA256_Final(target, context) : SHA384_Final(target, context))
  }

  must(SHA256_Init(context))
  const sha256 = bindHash(64, 32, 112)
  must(SHA384_Init(context))
  const sha384 = bindHash(128, 48, 216)

  /** What an HMAC or a running hash needs to know; the context has just been initialised. Sizes are those of <openssl/sha.h>. */
  function bindHash(block: number, length: number, contextBytes: number) {
    return {
      block,
      length,
      initial: memory.slice(CONTEXT_AT, CONTEXT_AT + contextBytes),
      context: memory.subarray(CONTEXT_AT, CONTEXT_AT + contextBytes),
      result: memory.subarray(RESULT_AT, RESULT_AT + length),
      inner: pointer(INPUT_AT - block),
      outer: pointer(INNER_HASH_AT - block),
    }
  }
  const hash = (name: HashName) => (name === 'sha256' ? sha256 : sha384)

  function updateAll(name: HashName, bytes: Uint8Array): void {
    if (bytes.length <= MAX_DATA_BYTES) {
      memory.set(bytes, DATA_AT)
      update(name, data, bytes.length)
      return
    }
    for (let at = 0; at < bytes.length; at += MAX_DATA_BYTES)
      updateAll(name, bytes.subarray(at, at + MAX_DATA_BYTES))
  }

  function takeResult(name: HashName): Uint8Array {
    finish(name, result)
    const { result: view } = hash(name)
    const taken = new Uint8Array(view.length)
    taken.set(view)
    return taken
  }

  function digest(name: HashName, bytes: Uint8Array): Uint8Array {
    const { context: view, initial } = hash(name)
    view.set(initial)
    updateAll(name, bytes)
    const taken = takeResult(name)
    memory.fill(0, RESULT_AT, HMAC_END)
    memory.fill(0, DATA_AT, DATA_AT + Math.min(bytes.length, MAX_DATA_BYTES))
    return taken
  }

  /** RFC 2104: H(key ⊕ opad ‖ H(key ⊕ ipad ‖ input)). */
  function hmac(name: HashName, keyBytes: Uint8Array, input: Uint8Array, inputBytes: number): Uint8Array {
    const { block, length, initial, context: view, inner, outer } = hash(name)
    if (keyBytes.length > block) throw new RangeError(`HMAC key of ${keyBytes.length} bytes`)
    memory.set(keyBytes, KEY_AT)
    const innerAt = (INPUT_AT - block) >>> 2
    const outerAt = (INNER_HASH_AT - block) >>> 2
    for (let index = 0; index < block >>> 2; index++) {
      const word = words[index] as number
      words[innerAt + index] = word ^ 0x36363636
      words[outerAt + index] = word ^ 0x5c5c5c5c
    }
    view.set(initial)
    if (inputBytes <= MAX_INPUT_BYTES) {
      for (let index = 0; index < inputBytes; index++) memory[INPUT_AT + index] = input[index] as number
      update(name, inner, block + inputBytes)
    } else {
      update(name, inner, block)
      updateAll(name, input.subarray(0, inputBytes))
      memory.fill(0, DATA_AT)
    }
    finish(name, innerHash)
    view.set(initial)
    update(name, outer, block + length)
    const mac = takeResult(name)
    memory.fill(0, 0, HMAC_END)
    return mac
  }

  class OpenSslHash implements RunningHash {
    readonly #name: HashName
    readonly #context: Uint8Array

    constructor(name: HashName) {
      const { initial } = hash(name)
      this.#name = name
      this.#context = allocate(initial.length)
      this.#context.set(initial)
    }

    update(bytes: Uint8Array): void {
      const { context: view } = hash(this.#name)
      view.set(this.#context)
      updateAll(this.#name, bytes)
      this.#context.set(view)
    }

    digest(): Uint8Array {
      hash(this.#name).context.set(this.#context)
      return takeResult(this.#name)
    }

    digestWith(bytes: Uint8Array): Uint8Array {
      hash(this.#name).context.set(this.#context)
      updateAll(this.#name, bytes)
      return takeResult(this.#name)
    }
  }

  return {
    digest,
    createHash: (name) => new OpenSslHash(name),
    hmac,
    hkdfExtract: (name, salt, keyMaterial) => hmac(name, salt, keyMaterial, keyMaterial.length),
  }
}

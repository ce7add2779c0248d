// The AbortSignal of one key operation. Made when it is first read: a key in this process answers before anyone could
// abort, and making a signal costs a tenth of an ECDSA signature.

/** Passed as the options of a key operation: `{ signal }`. */
export class OperationAbort {
  #controller: AbortController | undefined

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }

  abort(): void {
    this.#controller?.abort()
  }
}

// The base of every error we throw on purpose: a stable code to decide by, a text to read.

/** What an error adds to its code: `detail` is for the operator, `cause` for the next error down. */
export interface ErrorDetail {
  readonly detail?: string | undefined
  readonly cause?: unknown
}

/**
 * An error with a stable code. Each package derives one class from it and keeps one table of codes; programs
 * decide by `code`, never by text. No secret, token or plaintext belongs in `detail`.
 */
export class CodedError<Code extends string> extends Error {
  readonly code: Code
  readonly detail: string | undefined

  constructor(code: Code, text: string, { detail, cause }: ErrorDetail = {}) {
    super(detail === undefined ? text : `${text}: ${detail}`, cause === undefined ? undefined : { cause })
    this.code = code
    this.detail = detail
  }

  override get name(): string {
    return this.constructor.name
  }
}

// What the API answers, read with tolerance: only what is needed must be there, the rest may be anything.

/** The API's words are for an operator's log line, not for a page. */
const MAX_TEXT = 300
const MAX_ERRORS = 3

export interface ApiError {
  readonly code: number | undefined
  readonly message: string
}

export interface Envelope {
  readonly isSuccess: boolean
  readonly errors: readonly ApiError[]
  /** `result.certificate`, if it is a text. */
  readonly certificate: string | undefined
}

/** Undefined if it is no JSON object. */
export function readEnvelope(body: string): Envelope | undefined {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return undefined
  }
  if (!isObject(value)) return undefined
  const { success, errors, result } = value
  const certificate = isObject(result) ? result['certificate'] : undefined
  return {
    isSuccess: success === true,
    errors: Array.isArray(errors) ? errors.slice(0, MAX_ERRORS).map(readError) : [],
    certificate: typeof certificate === 'string' && certificate !== '' ? certificate : undefined,
  }
}

/** `1016 not authorised`; of several, one after the other. A peer's text is one line, and never holds `secret`. */
export function errorsText(errors: readonly ApiError[], secret: string): string {
  const text = errors.map(({ code, message }) => [code, message].filter(Boolean).join(' ')).join('; ')
  return boundedLine(text.replaceAll(secret, '(not shown)'))
}

export function boundedLine(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim()
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT)}…` : line
}

function readError(value: unknown): ApiError {
  if (!isObject(value)) return { code: undefined, message: typeof value === 'string' ? value : '' }
  const { code, message } = value
  return {
    code: typeof code === 'number' ? code : undefined,
    message: typeof message === 'string' ? message : '',
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

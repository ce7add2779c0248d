// Item 0x16 of a request: a JSON object of which one member matters, the id under which the client logs this request.

/** Room for any id and some members that we do not know; a longer text is not parsed. */
const MAX_CONTEXT_BYTES = 4096
/** UUIDs have 36 characters; a log line has to stay one. */
const MAX_REQUEST_ID_CHARS = 128

/** `requestId` is undefined if the client gave none; `flaw` says why the text could not be read. */
export interface RequestContext {
  readonly requestId: string | undefined
  readonly flaw: string | undefined
}

const NOTHING: RequestContext = { requestId: undefined, flaw: undefined }

/** Reads the text of a request context. Whatever is wrong with it, the request itself goes on. */
export function readRequestContext(text: Uint8Array | undefined): RequestContext {
  if (text === undefined || text.length === 0) return NOTHING
  if (text.length > MAX_CONTEXT_BYTES) return { requestId: undefined, flaw: `${text.length} bytes` }
  let value: unknown
  try {
    value = JSON.parse(DECODER.decode(text))
  } catch {
    return { requestId: undefined, flaw: 'not JSON' }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { requestId: undefined, flaw: 'not a JSON object' }
  }
  const requestId: unknown = Object.hasOwn(value, 'request_id') ? Reflect.get(value, 'request_id') : undefined
  if (typeof requestId !== 'string' || requestId === '') return NOTHING
  return { requestId: requestId.slice(0, MAX_REQUEST_ID_CHARS), flaw: undefined }
}

const DECODER = new TextDecoder('utf-8', { fatal: true })

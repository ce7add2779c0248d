// The edge's own answers: short, plain, never cached, saying no more than the table does.
import { type ServerResponse, STATUS_CODES } from 'node:http'
import { EDGE_ERRORS, type GatewayErrorCode } from '../errors.ts'

/** RFC 9110 §15.5.6: a 405 says what is allowed. */
export const SERVED_METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

/** Answers with the status and text of `code`; if a response has begun, its connection is destroyed instead. */
export function answerError(response: ServerResponse, code: GatewayErrorCode): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const { status } = EDGE_ERRORS[code]
  const body = errorBody(code)
  response.writeHead(status, [
    'Content-Type',
    'text/plain; charset=utf-8',
    'Content-Length',
    String(Buffer.byteLength(body)),
    'Cache-Control',
    'no-store',
    ...(code === 'ERR_EDGE_METHOD' ? ['Allow', SERVED_METHODS] : []),
  ])
  response.end(body)
}

/** The same for a socket that has no `ServerResponse`: what the parser refused, or CONNECT. Closes after it. */
export function rawErrorResponse(status: number, text: string): string {
  const body = `${status} ${STATUS_CODES[status] ?? ''}: ${text}\n`
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    ...(status === 405 ? [`Allow: ${SERVED_METHODS}`] : []),
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}

function errorBody(code: GatewayErrorCode): string {
  const { status, text } = EDGE_ERRORS[code]
  return `${status} ${STATUS_CODES[status] ?? ''}: ${text}\n`
}

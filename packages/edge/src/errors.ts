// One table: what can go wrong at the edge, which HTTP status the client sees for it, and its text.
import { CodedError, type ErrorDetail } from '@latchkey/core'

/** `status` undefined: thrown while the edge is being set up, no client is there to see it. */
export const EDGE_ERRORS = {
  ERR_EDGE_BAD_REQUEST: { status: 400, text: 'the request is malformed' },
  ERR_EDGE_METHOD: { status: 405, text: 'the method is not served here' },
  ERR_EDGE_CLIENT_SLOW: { status: 408, text: 'the request did not arrive in time' },
  ERR_EDGE_MISDIRECTED: { status: 421, text: 'this connection does not serve that host' },
  ERR_EDGE_CLIENT_LIMIT: { status: 429, text: 'too many requests at once from this address' },
  ERR_EDGE_TRANSFER_CODING: { status: 501, text: 'the transfer coding is not supported' },
  ERR_EDGE_UPGRADE: { status: 501, text: 'WebSocket is not supported by this version of the edge' },
  ERR_EDGE_ORIGIN_UNREACHABLE: { status: 502, text: 'the origin cannot be reached' },
  ERR_EDGE_ORIGIN_BROKEN: { status: 502, text: 'the origin broke off or did not answer in HTTP' },
  ERR_EDGE_ORIGIN_BUSY: { status: 503, text: 'too many requests wait for the origin' },
  ERR_EDGE_PIPELINE: { status: 503, text: 'too many requests at once on one connection' },
  ERR_EDGE_ORIGIN_CONNECT_TIMEOUT: { status: 504, text: 'the origin did not accept the connection in time' },
  ERR_EDGE_ORIGIN_TIMEOUT: { status: 504, text: 'the origin did not answer in time' },
  ERR_EDGE_HOST: { status: undefined, text: 'the hosts of the edge contradict each other' },
  ERR_EDGE_ORIGIN_URL: { status: undefined, text: 'not usable as an origin' },
} as const satisfies Record<string, { status: number | undefined; text: string }>

export type EdgeErrorCode = keyof typeof EDGE_ERRORS

/** The codes a client can see, as a status. */
export type GatewayErrorCode = {
  [Code in EdgeErrorCode]: (typeof EDGE_ERRORS)[Code]['status'] extends number ? Code : never
}[EdgeErrorCode]

export class EdgeError extends CodedError<EdgeErrorCode> {
  constructor(code: EdgeErrorCode, options?: ErrorDetail) {
    super(code, EDGE_ERRORS[code].text, options)
  }
}

// What a request asks for and how its body is framed: read once, strictly, before anything is forwarded.
import type { IncomingMessage } from 'node:http'
import { EdgeError } from '../errors.ts'
import { type Framing, pairs } from './fields.ts'

export interface RequestTarget {
  /** As received, checked: host name or address literal, perhaps with a port. */
  readonly authority: string
  /** Lower case, without port. */
  readonly hostName: string
  /** Path and query, or `*`. */
  readonly path: string
}

const AUTHORITY = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{0,5})?$/i
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)(.*)$/i

/**
 * @throws {EdgeError} ERR_EDGE_BAD_REQUEST if the request target or Host is malformed, missing or ambiguous.
 */
export function readRequestTarget(request: IncomingMessage): RequestTarget {
  const hosts = [...pairs(request.rawHeaders)].filter(([name]) => name.toLowerCase() === 'host')
  // RFC 9112 §3.2: exactly one Host. Two are how a request means one site here and another one behind.
  const host = hosts[0]?.[1]
  if (hosts.length !== 1 || host === undefined) throw bad(`${hosts.length} Host fields`)

  const url = request.url ?? ''
  // RFC 9112 §3.2.2: in absolute form the authority of the target counts, not Host.
  const absolute = ABSOLUTE_FORM.exec(url)
  const authority = absolute?.[1] ?? host
  const path = absolute === null ? url : originForm(absolute[2] as string)
  const hostName = AUTHORITY.exec(authority)?.[1]?.toLowerCase()
  if (hostName === undefined) throw bad('Host is not a host name')
  if (!path.startsWith('/') && !(path === '*' && request.method === 'OPTIONS')) throw bad('request target')
  return { authority, hostName, path }
}

/**
 * RFC 9112 §6: what follows the header section. The parser has already refused what could be read in two ways: both
 * framing fields, several lengths, `chunked` that is not last.
 *
 * @throws {EdgeError} ERR_EDGE_TRANSFER_CODING for codings other than `chunked`; ERR_EDGE_BAD_REQUEST for any in HTTP/1.0.
 */
export function readFraming(request: IncomingMessage): Framing {
  const coding = request.headers['transfer-encoding']
  const length = request.headers['content-length']
  if (coding !== undefined) {
    if (request.httpVersion === '1.0') throw bad('Transfer-Encoding in HTTP/1.0')
    if (length !== undefined) throw bad('Content-Length beside Transfer-Encoding')
    if (coding.trim().toLowerCase() !== 'chunked') throw new EdgeError('ERR_EDGE_TRANSFER_CODING')
    return { kind: 'chunked' }
  }
  if (length === undefined) return { kind: 'none' }
  if (!/^\d{1,16}$/.test(length)) throw bad('Content-Length')
  return { kind: 'length', length }
}

function originForm(rest: string): string {
  return rest.startsWith('/') ? rest : `/${rest}`
}

function bad(detail: string): EdgeError {
  return new EdgeError('ERR_EDGE_BAD_REQUEST', { detail })
}

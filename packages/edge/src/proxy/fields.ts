// Which header fields cross the edge, and what the edge adds. RFC 9110 §7.6, RFC 7239.
import { isIPv6 } from 'node:net'

/** Names and values in turn, as `rawHeaders` has them. */
export type RawFields = readonly string[]

/** Fields for the next hop only, RFC 9110 §7.6.1, besides those that `Connection` names. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
])

/** What the edge itself says to the origin: a client's own value would be taken for the edge's. */
const SAID_BY_EDGE = new Set(['host', 'content-length', 'forwarded', 'x-real-ip', 'max-forwards'])

/** CGI-like origins turn a `Proxy` field into HTTP_PROXY: "httpoxy", CVE-2016-5385. */
const NEVER_FORWARDED = new Set(['proxy'])

/** What describes how a body ends, besides the hop-by-hop `Transfer-Encoding`. */
const BODY_FRAMING = new Set(['content-length', 'trailer'])

/** Framing, routing and authentication must not arrive late, RFC 9110 §6.5.1. */
const NOT_IN_TRAILERS = new Set([
  ...HOP_BY_HOP,
  ...SAID_BY_EDGE,
  ...NEVER_FORWARDED,
  'authorization',
  'cache-control',
  'content-encoding',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'range',
  'set-cookie',
  'trailer',
])

export interface ClientFacts {
  /** IP address of the client, if the socket still knows it. */
  readonly address: string | undefined
  readonly scheme: 'http' | 'https'
  /** The authority the client asked for, checked: letters, digits, `-._:[]`. */
  readonly authority: string
  readonly httpVersion: string
}

/** How a message's body is framed; the edge writes this itself and copies no framing field. */
export type Framing = { kind: 'none' } | { kind: 'length'; length: string } | { kind: 'chunked' }

/** The fields of the request that goes to the origin. */
export function requestFields(received: RawFields, framing: Framing, client: ClientFacts): string[] {
  const dropped = connectionOptions(received)
  const fields = ['Host', client.authority]
  for (const [name, value] of pairs(received)) {
    const key = confusable(name)
    if (HOP_BY_HOP.has(key) || SAID_BY_EDGE.has(key) || NEVER_FORWARDED.has(key)) continue
    if (key.startsWith('x-forwarded-') || dropped.has(name.toLowerCase())) continue
    fields.push(name, value)
  }
  if (framing.kind === 'length') fields.push('Content-Length', framing.length)
  if (framing.kind === 'chunked') fields.push('Transfer-Encoding', 'chunked')
  fields.push('Via', `${client.httpVersion} latchkey`, ...forwardedFields(client))
  return fields
}

/** The fields of the response that goes to the client. */
export function responseFields(received: RawFields): string[] {
  const dropped = connectionOptions(received)
  const fields: string[] = []
  for (const [name, value] of pairs(received)) {
    const key = name.toLowerCase()
    // RFC 9110 §7.6.1: content-length belongs to everyone, whatever Connection says.
    if (key === 'content-length') fields.push(name, value)
    else if (!HOP_BY_HOP.has(key) && !dropped.has(key)) fields.push(name, value)
  }
  return fields
}

/** The fields of a 1xx response that goes to the client: it has no body, so none that frame one (RFC 9110 §8.6, §6.6.2). */
export function interimFields(received: RawFields): string[] {
  return [...pairs(responseFields(received))].filter(([name]) => !BODY_FRAMING.has(name.toLowerCase())).flat()
}

/** Trailers that may go on, as pairs. */
export function trailerFields(received: RawFields): [name: string, value: string][] {
  return [...pairs(received)].filter(([name]) => {
    const key = confusable(name)
    return !NOT_IN_TRAILERS.has(key) && !key.startsWith('x-forwarded-')
  })
}

/** RFC 7239 §4 and the older trio. A browser is the next hop of an edge, so nothing it says of itself is kept. */
function forwardedFields({ address, scheme, authority }: ClientFacts): string[] {
  const plain = address?.startsWith('::ffff:') === true ? address.slice('::ffff:'.length) : address
  // RFC 7239 §6: an IPv6 address is bracketed and quoted; "unknown" is the word for not knowing.
  const node = plain === undefined ? 'unknown' : isIPv6(plain) ? `"[${plain}]"` : plain
  const fields = ['Forwarded', `for=${node};host="${authority}";proto=${scheme}`]
  if (plain !== undefined) fields.push('X-Forwarded-For', plain)
  fields.push('X-Forwarded-Host', authority, 'X-Forwarded-Proto', scheme)
  return fields
}

/** The fields named by `Connection`, lower case. */
function connectionOptions(received: RawFields): ReadonlySet<string> {
  const options = new Set<string>()
  for (const [name, value] of pairs(received)) {
    if (name.toLowerCase() !== 'connection') continue
    for (const option of value.split(',')) options.add(option.trim().toLowerCase())
  }
  return options
}

/** CGI and WSGI origins cannot tell `X_Forwarded_For` from `X-Forwarded-For`, so neither do we. */
function confusable(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}

/** Names and values of `rawHeaders` two by two. */
export function* pairs(received: RawFields): Generator<[name: string, value: string]> {
  for (let at = 0; at + 1 < received.length; at += 2)
    yield [received[at] as string, received[at + 1] as string]
}

// Every bound of the edge in one place, with its reason.

export interface EdgeLimits {
  /** Client connections at once; more are dropped on accept. */
  readonly maxConnections: number
  /** Signatures that are waited for with one certificate; more full handshakes with it fail at once. */
  readonly maxSignaturesPerKey: number
  /** Bytes of a request's or a response's header section. */
  readonly maxHeaderBytes: number
  /** Requests of one client connection that may be under way at once (HTTP pipelining). */
  readonly maxPipelined: number
  /** Requests under way at once of one client: of one IPv4 address, or of one /64 of IPv6. More are refused with 429. */
  readonly maxPerClient: number
  /** Milliseconds for a client to send a header section, counted from the connection or the last request. */
  readonly headersTimeoutMs: number
  /** Milliseconds a client connection may stay open without a request. */
  readonly keepAliveMs: number
  /** Bytes a second that a client has to keep up, both ways, where it is waited for. 0: any pace will do. */
  readonly clientBytesPerSecond: number
  /** Milliseconds that an upload may be behind this pace before it is given up with 408, or Infinity. */
  readonly uploadGraceMs: number
  /** Milliseconds that a download may be behind this pace before its connection is destroyed, or Infinity. */
  readonly downloadGraceMs: number
  /** Milliseconds to go on reading an upload that nobody wants any more, after the response is out. */
  readonly lingerMs: number
  /** Connections to one origin at once. */
  readonly originSockets: number
  /** Requests that may wait for a connection to one origin; more are refused with 503. */
  readonly originQueue: number
  /** Milliseconds for a request to get a connection to the origin. */
  readonly originConnectMs: number
  /** Milliseconds without a byte between edge and origin, in either direction, before an exchange is given up. */
  readonly originIdleMs: number
  /** Milliseconds an unused connection to an origin is kept. */
  readonly originPoolMs: number
}

export const DEFAULT_LIMITS: EdgeLimits = {
  // About 60 kB of memory a connection: 10,000 are well below a gigabyte.
  maxConnections: 10_000,
  // Half of what the engine waits for in all, so that one site with a slow key server leaves room for the others: at 200 ms
  // a signature, 5,000 handshakes a second.
  maxSignaturesPerKey: 1024,
  // Node's own default and that of most origins: a request that passes here is not refused there.
  maxHeaderBytes: 16 * 1024,
  // Browsers do not pipeline at all; what does is a script, and 16 keep it busy.
  maxPipelined: 16,
  // A quarter of originSockets, so that no client can have them all; ten browsers behind one address, each with the six
  // connections that it opens, all busy at the same moment.
  maxPerClient: 64,
  headersTimeoutMs: 15_000,
  keepAliveMs: 30_000,
  // What IIS and Kestrel ask for by default: a page of 100 kB would take seven minutes, for which no visitor waits.
  clientBytesPerSecond: 240,
  // Enough for a tunnel or a change of network. The place at the origin is not free to others meanwhile.
  uploadGraceMs: 30_000,
  // Longer, as the kernel says late that a reader goes on: when a third of its send buffer (up to 4 MB) has left. Shorter
  // than originIdleMs, as the origin is kept waiting as well, and the log should name who is slow.
  downloadGraceMs: 45_000,
  // Long enough for a client to notice an early answer, short enough not to be a free sink.
  lingerMs: 5_000,
  originSockets: 256,
  originQueue: 1024,
  originConnectMs: 5_000,
  // What nginx and most load balancers use: origins are tuned for it.
  originIdleMs: 60_000,
  // Shorter than the 5 s after which Node and Apache origins close: fewer requests meet a closing connection.
  originPoolMs: 4_000,
}

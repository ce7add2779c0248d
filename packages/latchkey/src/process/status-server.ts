// The small HTTP server that monitoring asks: /metrics, /healthz (alive) and /readyz (able to do its work).
//
// It speaks plain HTTP without authentication, so it listens where it is told and answers nothing but these three. What
// a stranger can make it hold is bounded: connections, header bytes, and the time for each.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostAndPort, type Logger, METRICS_CONTENT_TYPE } from '@latchkey/core'

/** One thing that must be so before a load balancer sends anything here. */
export interface ReadinessCondition {
  readonly name: string
  readonly isMet: boolean
}

export interface StatusServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly logger: Logger
  /** Text for Prometheus. */
  readonly metrics: () => string | Promise<string>
  readonly readiness: () => readonly ReadinessCondition[] | Promise<readonly ReadinessCondition[]>
}

const MAX_HEADER_BYTES = 8 * 1024
const REQUEST_TIMEOUT_MS = 5000
/** Scrapers come every 15 s or more rarely: a connection need not wait for them. */
const KEEP_ALIVE_MS = 5000
const CHECK_INTERVAL_MS = 1000
const MAX_CONNECTIONS = 64
const MAX_REQUESTS_PER_CONNECTION = 100

export interface StatusServer extends AsyncDisposable {
  /** Undefined: it could not listen. */
  readonly address: AddressInfo | undefined
}

/** Starts to listen. That the port is taken is said in a critical line, and whoever asked for it goes on without. */
export async function serveStatus(options: StatusServerOptions): Promise<StatusServer> {
  const { host, port, logger } = options
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
    },
    (request, response) => void answer(request, response, options),
  )
  server.maxConnections = MAX_CONNECTIONS
  server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION
  server.setTimeout(2 * REQUEST_TIMEOUT_MS) // also for whoever does not read the answer
  try {
    await listen(server, host, port)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    logger.critical(
      `metrics, /healthz and /readyz cannot be served at ${hostAndPort(host, port)}: ${code ?? message}; going on without`,
    )
    return { address: undefined, [Symbol.asyncDispose]: () => Promise.resolve() }
  }
  server.on('error', (error) => logger.error(`metrics endpoint: ${error.message}`))
  const address = server.address() as AddressInfo // of a TCP server that listens
  logger.info(`Serving metrics endpoint at ${hostAndPort(address.address, address.port)}/metrics`)
  return {
    address,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

interface Page {
  readonly status: number
  readonly type: string
  readonly body: string
}

const PLAIN = 'text/plain; charset=utf-8'

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: StatusServerOptions,
): Promise<void> {
  const { method = '', url = '' } = request
  const isRead = method === 'GET' || method === 'HEAD'
  const { status, type, body } = isRead
    ? await page(url.split('?', 1)[0] ?? '', options)
    : { status: 405, type: PLAIN, body: 'method not allowed\n' }
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(isRead ? {} : { allow: 'GET, HEAD', connection: 'close' }), // its body is not waited for
  })
  response.end(method === 'HEAD' ? undefined : body)
}

async function page(path: string, { metrics, readiness, logger }: StatusServerOptions): Promise<Page> {
  switch (path) {
    case '/metrics':
      try {
        return { status: 200, type: METRICS_CONTENT_TYPE, body: await metrics() }
      } catch (error) {
        logger.error(
          `metrics cannot be collected: ${error instanceof Error ? error.message : 'unknown failure'}`,
        )
        return { status: 500, type: PLAIN, body: 'metrics cannot be collected\n' }
      }
    case '/healthz':
      return { status: 200, type: 'application/json', body: '{"status":"alive"}\n' }
    case '/readyz':
      return readinessPage(await conditionsOf(readiness))
    default:
      return { status: 404, type: PLAIN, body: '404 page not found\n' }
  }
}

async function conditionsOf(
  readiness: StatusServerOptions['readiness'],
): Promise<readonly ReadinessCondition[]> {
  try {
    return await readiness()
  } catch {
    return [{ name: 'answers', isMet: false }] // a process that cannot say how it is, is not well
  }
}

function readinessPage(conditions: readonly ReadinessCondition[]): Page {
  const isReady = conditions.every(({ isMet }) => isMet)
  const body = {
    status: isReady ? 'ready' : 'not ready',
    conditions: Object.fromEntries(conditions.map(({ name, isMet }) => [name, isMet ? 'ok' : 'failed'])),
  }
  return { status: isReady ? 200 : 503, type: 'application/json', body: `${JSON.stringify(body)}\n` }
}

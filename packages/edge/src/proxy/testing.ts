// For tests of the proxy: a plain-HTTP edge in front of an origin, and a client that writes raw bytes.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Server as NetServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { createLogger, type LogRecord } from '@latchkey/core'
import { HostTable } from '../host-table.ts'
import { DEFAULT_LIMITS, type EdgeLimits } from '../limits.ts'
import { Origin } from './origin.ts'
import { attachProxy, type Proxy, type Site } from './proxy.ts'

export interface TestEdge extends AsyncDisposable {
  readonly port: number
  readonly proxy: Proxy
  readonly server: Server
  readonly log: LogRecord[]
  /** Sends `text` and collects what comes back until the edge closes or `until` has been seen. */
  exchange(text: string, until?: string): Promise<string>
}

export type OriginListener = (request: IncomingMessage, response: ServerResponse) => unknown

/** Serves `site.test` from `origin` (a listener, or a server that is listening), and `other.test` from the same. */
export async function startTestEdge(
  origin: OriginListener | NetServer | URL,
  limits: Partial<EdgeLimits> = {},
): Promise<TestEdge> {
  const stack = new AsyncDisposableStack()
  const url =
    origin instanceof URL
      ? origin
      : await listening(typeof origin === 'function' ? serverOf(origin) : origin, stack)
  const allLimits = { ...DEFAULT_LIMITS, originPoolMs: 1000, ...limits }
  const target = new Origin(url, allLimits)
  stack.defer(() => target.close())
  const sites = new HostTable<Site>()
    .add(['site.test'], { origin: target })
    .add(['other.test'], { origin: target })
  const log: LogRecord[] = []
  const server = createServer({ maxHeaderSize: allLimits.maxHeaderBytes })
  const logger = createLogger((record) => log.push(record), 'debug')
  const proxy = attachProxy(server, {
    hosts: () => sites,
    limits: allLimits,
    logger,
    clock: () => performance.now(),
  })
  const { port } = await listening(server, stack)
  return {
    port: Number(port),
    proxy,
    server,
    log,
    exchange: (text, until) => rawExchange(Number(port), text, until),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

function serverOf(listener: OriginListener): Server {
  return createServer((request, response) => void listener(request, response))
}

/** Starts `server` on a free port; the stack ends it with all its connections. */
async function listening(server: NetServer, stack: AsyncDisposableStack): Promise<URL> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  if (!server.listening) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  stack.defer(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

export async function rawExchange(port: number, text: string, until?: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  socket.setEncoding('latin1').on('error', () => {})
  socket.write(text, 'latin1')
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve())
    socket.on('data', (part: string) => {
      received += part
      if (until !== undefined && received.includes(until)) resolve()
    })
  })
  socket.destroy()
  return received
}

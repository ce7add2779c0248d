// Servers of the shell on a port of their own, and node:tls clients that check what they are shown.
import { once } from 'node:events'
import type { RequestListener, Server as HttpServer, ServerOptions as HttpServerOptions } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import {
  createCertificateStore,
  createLocalSigner,
  createServer,
  createTlsServer,
  type Signer,
  type TlsError,
  type TlsServerOptions,
  type TlsSocket,
} from '@latchkey/tls'
import { KEY_KINDS, type KeyKind, testCertificate } from './certificate.ts'
import { testCredential } from './harness.ts'

export const HOST = '127.0.0.1'
/** Whatever a test waits for comes in milliseconds, or never. */
const WAIT_MS = 10_000

export type ServerOptions = Partial<TlsServerOptions> & { readonly kinds?: readonly KeyKind[] }

/** Signs for all test certificates, in the same turn. */
export const localSigner: Signer = createLocalSigner(KEY_KINDS.map(testCertificate))

export interface TestServer<S extends Server = Server> extends AsyncDisposable {
  readonly server: S
  readonly port: number
  /** The accepted TCP sockets, in order. */
  readonly raw: Socket[]
  /** What `tlsClientError` said, in order. */
  readonly failures: TlsError[]
}

export function tlsOptions({ kinds = ['p256'], ...options }: ServerOptions = {}): TlsServerOptions {
  const credentials = kinds.map(testCredential)
  const certificates = createCertificateStore({ hosts: [], default: credentials })
  return { certificates, signer: localSigner, ...options }
}

/** A TLS server; `onSocket` gets each connection whose handshake is done. */
export function startTls(
  onSocket: (socket: TlsSocket) => void,
  options?: ServerOptions,
): Promise<TestServer> {
  return listen(createTlsServer(tlsOptions(options), onSocket))
}

export function startHttps(
  listener: RequestListener,
  options?: ServerOptions & HttpServerOptions,
): Promise<TestServer<HttpServer>> {
  return listen(createServer({ ...options, ...tlsOptions(options) }, listener))
}

/** Listens; disposing closes the server and whatever is still connected. */
export async function listen<S extends Server>(server: S): Promise<TestServer<S>> {
  const raw: Socket[] = []
  const failures: TlsError[] = []
  server.on('connection', (socket: Socket) => raw.push(socket))
  server.on('tlsClientError', (error: TlsError) => failures.push(error))
  server.listen(0, HOST)
  await once(server, 'listening')
  return {
    server,
    port: (server.address() as AddressInfo).port,
    raw,
    failures,
    [Symbol.asyncDispose]: async () => {
      const closed = server.listening ? once(server, 'close') : undefined
      server.close()
      for (const socket of raw) socket.destroy()
      await closed
    },
  }
}

/** A node:tls client of `port`, its handshake under way. Errors are kept from ending the process; see {@link outcome}. */
export function dial(port: number, options: ConnectionOptions = {}): TLSSocket {
  const socket = connect({
    port,
    host: HOST,
    servername: 'www.example.com',
    ca: testCertificate('p256').chainPem,
    allowPartialTrustChain: true, // the chain ends in the intermediate; its root is nowhere
    ...options,
  })
  return socket.on('error', () => {})
}

/** A node:tls client whose handshake is done. */
export async function connectTls(port: number, options?: ConnectionOptions): Promise<TLSSocket> {
  const socket = dial(port, options)
  await event(socket, 'secureConnect')
  return socket
}

/** The next `name` of `emitter`. @throws if it does not come, or an error comes first. */
export function event(emitter: NodeJS.EventEmitter, name: string): Promise<unknown[]> {
  return once(emitter, name, { signal: AbortSignal.timeout(WAIT_MS) })
}

/** Waits for a state that no event tells of. @throws if it does not come. */
export async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`still not so after ${WAIT_MS} ms: ${isSo.toString()}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** Everything that comes until the stream ends or closes. */
export async function collect(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await Promise.race([event(stream, 'end'), event(stream, 'close')])
  return Buffer.concat(chunks)
}

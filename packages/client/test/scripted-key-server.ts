// A key server for tests: real TLS, real packets, and whatever behaviour a test scripts.
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { encodePong, encodeResponse, OPCODES, type Packet, PacketFramer, readPacket } from '@latchkey/wire'
import { createKeyServerClient, type KeyServerClient, type KeyServerClientOptions } from '../src/index.ts'

export const SERVER_NAME = 'keys.example.com'

const ca = await createThrowawayCa()
const serverCertificate = await ca.issue({ dnsNames: [SERVER_NAME], extendedKeyUsages: ['serverAuth'] })
const clientCertificate = await ca.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })

/** What a client of the scripted key server needs besides host and port. */
export const CREDENTIALS = {
  ca: ca.certificatePem,
  cert: clientCertificate.chainPem,
  key: clientCertificate.privateKeyPem,
  serverName: SERVER_NAME,
} as const

/** A request at the server, and how to answer it. */
export interface Asked extends Packet {
  readonly socket: TLSSocket
  /** 0 for the first connection that was accepted. */
  readonly connection: number
  readonly reply: (bytes: Uint8Array) => void
}

export interface ScriptedKeyServer extends AsyncDisposable {
  readonly port: number
  /** Accepted so far. */
  readonly connections: number
  /** Open now. */
  readonly openConnections: number
  /** Resets every connection, as a process that is killed does. */
  killConnections(): void
}

/** Calls `answer` for each request; without one it answers pongs, and signs by sending the payload back. */
export async function startKeyServer(
  answer: (asked: Asked) => void = echo,
  { port = 0, ...options }: TlsOptions & { readonly port?: number } = {},
): Promise<ScriptedKeyServer> {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer(
    {
      cert: serverCertificate.chainPem,
      key: serverCertificate.privateKeyPem,
      ca: ca.certificatePem,
      requestCert: true,
      rejectUnauthorized: true,
      ...options,
    },
    (socket) => serve(socket, connections++, answer),
  )
  server.on('tlsClientError', () => {})
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const killConnections = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections
    },
    get openConnections() {
      return sockets.size
    },
    killConnections,
    async [Symbol.asyncDispose]() {
      killConnections()
      server.close()
      if (server.listening) await once(server, 'close')
    },
  }
}

function serve(socket: TLSSocket, connection: number, answer: (asked: Asked) => void): void {
  const framer = new PacketFramer()
  const reply = (bytes: Uint8Array): void => {
    if (socket.writable) socket.write(bytes)
  }
  socket.on('error', () => {})
  socket.on('data', (chunk: Uint8Array) => {
    framer.push(chunk)
    for (let framed = framer.next(); framed !== undefined; framed = framer.next()) {
      answer({ ...readPacket(framed), socket, connection, reply })
    }
  })
}

export function echo({ id, operation, reply }: Asked): void {
  const payload = operation.payload ?? new Uint8Array()
  reply(operation.opcode === OPCODES.OpPing.code ? encodePong(id, payload) : encodeResponse(id, payload))
}

/** A client of the server at `port`, with times that suit tests. */
export function clientOf(
  { port }: { readonly port: number },
  options: Partial<KeyServerClientOptions> = {},
): KeyServerClient {
  return createKeyServerClient({
    host: '127.0.0.1',
    port,
    ...CREDENTIALS,
    drainTimeoutMs: 500,
    ...options,
  })
}

/** A signing request whose payload tells requests apart. */
export function signRequest(payload: number): {
  readonly opcode: number
  readonly ski: Uint8Array
  readonly payload: Uint8Array
} {
  return {
    opcode: OPCODES.OpECDSASignSHA256.code,
    ski: new Uint8Array(20).fill(1),
    payload: Uint8Array.of(payload >>> 8, payload),
  }
}

/** Waits until `isSo`, looking every few milliseconds; gives up after two seconds. */
export async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 2000
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error('it did not come about within two seconds')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

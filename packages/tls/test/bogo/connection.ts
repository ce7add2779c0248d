// One connection with the runner. The shim calls, also where it is the server: that is how the runner knows whom it
// talks to.
import { once } from 'node:events'
import { Socket } from 'node:net'
import { createTlsServer, type TlsServerOptions, type TlsSocket } from '@latchkey/tls'
import type { Settings } from './flags.ts'

/** A TCP connection to the runner that has said which shim this is. */
export async function callRunner(settings: Settings): Promise<Socket> {
  const socket = settings['-async'] === true ? new BytewiseSocket() : new Socket()
  socket.allowHalfOpen = true
  socket.setNoDelay(true)
  socket.connect(settings['-port'] ?? 0, settings['-ipv6'] === true ? '::1' : '127.0.0.1')
  await once(socket, 'connect')
  const id = Buffer.alloc(8)
  id.writeBigUInt64LE(BigInt(settings['-shim-id'] ?? 0))
  socket.write(id)
  return socket
}

/** As if every byte came in a segment of its own: what a peer sends at once must mean the same as in pieces. */
class BytewiseSocket extends Socket {
  override push(chunk: Uint8Array | null): boolean {
    if (chunk === null) return super.push(null)
    let wantsMore = true
    for (let at = 0; at < chunk.length; at++) wantsMore = super.push(chunk.subarray(at, at + 1))
    return wantsMore
  }
}

/**
 * A connection from its first byte to its last. `play` is called once it is established, in the same turn: what came
 * with the end of the handshake is next.
 *
 * @returns once it has closed; rejects with what ended it, or with what `play` throws.
 */
export function serve(
  socket: Socket,
  options: TlsServerOptions,
  play: (stream: TlsSocket) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createTlsServer(options, (stream) => {
      stream.once('error', reject)
      stream.once('close', resolve)
      try {
        play(stream)
      } catch (error) {
        stream.destroy(error as Error)
      }
    })
    server.on('tlsClientError', (error: Error) => {
      // The alert goes first.
      if (socket.closed) reject(error)
      else socket.once('close', () => reject(error))
    })
    server.emit('connection', socket)
  })
}

const GREETING = Buffer.from('hello')

/** Answers each byte with its complement, until the runner has said all it has to say. */
export function exchange(stream: TlsSocket, settings: Settings): void {
  const exportBytes = settings['-export-keying-material'] ?? 0
  if (exportBytes > 0) stream.write(keyingMaterial(stream, exportBytes, settings))
  if (settings['-shim-writes-first'] === true) stream.write(GREETING)
  if (settings['-shim-shuts-down'] === true) {
    stream.end()
    stream.resume()
  } else {
    stream.on('data', (chunk: Uint8Array) => stream.write(chunk.map((byte) => byte ^ 0xff)))
    stream.once('end', () => stream.end())
  }
}

function keyingMaterial(stream: TlsSocket, bytes: number, settings: Settings): Uint8Array {
  const context = settings['-use-export-context'] === true ? settings['-export-context'] : undefined
  return stream.exportKeyingMaterial(
    bytes,
    settings['-export-label'] ?? '',
    context === undefined ? undefined : Buffer.from(context),
  )
}

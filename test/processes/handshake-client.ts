// Makes full TLS 1.3 handshakes with node:tls, `concurrency` at a time, and counts how they end.
import { connect, type ConnectionOptions } from 'node:tls'
import { answerParent } from '../support/child-side.ts'

export interface HandshakeLoad {
  readonly port: number
  readonly serverName: string
  readonly ca: string
  readonly count: number
  readonly concurrency: number
}

export interface HandshakeReport {
  readonly completed: number
  /** How many failed, by the error's code. */
  readonly failed: Readonly<Record<string, number>>
  readonly seconds: number
  /** The slowest, completed or failed. */
  readonly slowestMs: number
}

answerParent(
  async ({ port, serverName, ca, count, concurrency }: HandshakeLoad): Promise<HandshakeReport> => {
    const options: ConnectionOptions = {
      host: '127.0.0.1',
      port,
      servername: serverName,
      ca,
      minVersion: 'TLSv1.3',
      ecdhCurve: 'X25519',
    }
    const failed: Record<string, number> = {}
    let left = count
    let completed = 0
    let slowestMs = 0
    const worker = async (): Promise<void> => {
      while (left-- > 0) {
        const startedAt = performance.now()
        const code = await handshake(options)
        slowestMs = Math.max(slowestMs, performance.now() - startedAt)
        if (code === undefined) completed++
        else failed[code] = (failed[code] ?? 0) + 1
      }
    }
    const startedAt = performance.now()
    await Promise.all(Array.from({ length: concurrency }, worker))
    return { completed, failed, seconds: (performance.now() - startedAt) / 1000, slowestMs }
  },
)

/** Undefined once the handshake is done and the connection closed; else the error's code. */
function handshake(options: ConnectionOptions): Promise<string | undefined> {
  return new Promise((resolve) => {
    let code: string | undefined
    const socket = connect(options, () => socket.end())
    socket.once('error', (error: NodeJS.ErrnoException) => {
      code = error.code ?? error.message
    })
    socket.once('close', () => resolve(code))
    socket.resume()
  })
}

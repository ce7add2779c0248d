// A TestClient on a real TCP connection: a peer that does what node:tls does not.
import { connect, type Socket } from 'node:net'
import { HOST, until } from './socket-server.ts'
import { type ClientOptions, TestClient } from './test-client.ts'

export class RawClient implements Disposable {
  readonly tls: TestClient
  readonly socket: Socket
  /** Whether the server sent FIN. */
  hasEnded = false
  isClosed = false
  /** What the TCP connection ended with. */
  error: NodeJS.ErrnoException | undefined
  /** What the server sent that no TLS client can make sense of. */
  fault: unknown

  constructor(port: number, options: ClientOptions = {}) {
    this.tls = new TestClient(options)
    this.socket = connect({ port, host: HOST, allowHalfOpen: true })
    this.socket.on('data', (chunk: Buffer) => {
      try {
        this.tls.receive(chunk)
        this.flush()
      } catch (cause) {
        this.fault = cause
      }
    })
    this.socket.on('end', () => {
      this.hasEnded = true
    })
    this.socket.on('error', (error) => {
      this.error = error
    })
    this.socket.on('close', () => {
      this.isClosed = true
    })
  }

  /** Sends what the TLS side has queued. */
  flush(): this {
    const bytes = this.tls.take()
    if (bytes.length > 0) this.socket.write(bytes)
    return this
  }

  /** Sends the ClientHello. */
  hello(): this {
    this.tls.start()
    return this.flush()
  }

  /** Sends the ClientHello and waits for the end of the handshake. */
  async connected(): Promise<this> {
    this.hello()
    await until(() => this.tls.state === 'connected')
    return this
  }

  /** Application data. */
  send(data: Uint8Array): this {
    this.tls.send(data)
    return this.flush()
  }

  /** The names of the alerts that came. */
  get alerts(): string[] {
    return this.tls.alerts.map(({ name }) => name)
  }

  /** Waits for the server's FIN, or for the connection to be gone. */
  async ended(): Promise<this> {
    await until(() => this.hasEnded || this.isClosed)
    return this
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

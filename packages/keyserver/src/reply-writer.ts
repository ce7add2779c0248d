// The outgoing half of a connection: replies are gathered, written as one piece, and counted until they have left.
import type { TLSSocket } from 'node:tls'

export interface ReplyWriterEvents {
  /** Some replies left this process. */
  readonly written: () => void
  /** Nothing left for the write timeout although something waits. */
  readonly stuck: () => void
}

/**
 * Gathers encoded replies until `flush`. `queuedBytes` is what a slow reader makes this process hold: the owner stops
 * taking requests when it is too much, which is why replies that wait here are bounded.
 */
export class ReplyWriter {
  readonly #socket: TLSSocket
  readonly #events: ReplyWriterEvents
  readonly #timer: NodeJS.Timeout
  #gathered: Uint8Array[] = []
  #gatheredBytes = 0
  #onWritten: (() => void)[] = []
  #writesUnderWay = 0

  /** @param writeTimeoutMs without any progress. */
  constructor(socket: TLSSocket, writeTimeoutMs: number, events: ReplyWriterEvents) {
    this.#socket = socket
    this.#events = events
    this.#timer = setTimeout(() => {
      if (this.#writesUnderWay > 0) events.stuck()
    }, writeTimeoutMs)
  }

  get queuedBytes(): number {
    return this.#gatheredBytes + this.#socket.writableLength
  }

  /** @param onWritten called when these bytes have left this process. */
  add(packet: Uint8Array, onWritten?: () => void): void {
    this.#gathered.push(packet)
    this.#gatheredBytes += packet.length
    if (onWritten !== undefined) this.#onWritten.push(onWritten)
  }

  /** One write for everything gathered: one system call and full TLS records. */
  flush(): void {
    if (this.#gathered.length === 0 || !this.#socket.writable) return
    const [first] = this.#gathered
    const bytes = this.#gathered.length === 1 && first !== undefined ? first : Buffer.concat(this.#gathered)
    const onWritten = this.#onWritten
    this.#gathered = []
    this.#gatheredBytes = 0
    this.#onWritten = []
    if (this.#writesUnderWay++ === 0) this.#timer.refresh()
    this.#socket.write(bytes, (error) => {
      this.#writesUnderWay--
      if (error !== undefined && error !== null) return
      this.#timer.refresh()
      for (const each of onWritten) each()
      this.#events.written()
    })
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

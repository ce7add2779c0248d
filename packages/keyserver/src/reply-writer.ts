// The outgoing half of a connection: replies are gathered, written as one piece, and counted until they have left.
import type { TLSSocket } from 'node:tls'
import type { AuditBatch } from './audit-trail.ts'
import { errorPacket } from './reply.ts'

export interface ReplyWriterEvents {
  /** Some replies left this process. */
  readonly written: () => void
  /** Nothing left for the write timeout although something waits. */
  readonly stuck: () => void
}

export interface ReplyOptions {
  /** The packet is all of its buffer, and is wiped when it has left this process or never will. Default: false. */
  readonly isSecret?: boolean
  /** Called when these bytes have left this process, with the time (`performance.now()`). */
  readonly onWritten?: ((nowMs: number) => void) | undefined
  /** The packet is sent only if its record is kept when all is flushed; else error 8 to the request of this id. */
  readonly audited?: Audited | undefined
}

interface Audited {
  readonly id: number
  readonly batch: AuditBatch
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
  /** A secret reply is among the gathered: they are wiped together. */
  #isSecret = false
  /** Writes with a secret in them that are under way. */
  readonly #secretWrites = new Set<Uint8Array>()
  /** Of those gathered, by their place. */
  #audited: { readonly at: number; readonly audited: Audited }[] = []
  #onWritten: ((nowMs: number) => void)[] = []
  #writesUnderWay = 0

  /** @param writeTimeoutMs without any progress. */
  constructor(socket: TLSSocket, writeTimeoutMs: number, events: ReplyWriterEvents) {
    this.#socket = socket
    this.#events = events
    this.#timer = setTimeout(() => {
      if (this.#writesUnderWay > 0) events.stuck()
    }, writeTimeoutMs)
  }

  /** Of replies that wait for `flush`. */
  get gatheredBytes(): number {
    return this.#gatheredBytes
  }

  get queuedBytes(): number {
    return this.#gatheredBytes + this.#socket.writableLength
  }

  add(packet: Uint8Array, { isSecret = false, onWritten, audited }: ReplyOptions = {}): void {
    if (audited !== undefined) this.#audited.push({ at: this.#gathered.length, audited })
    this.#gathered.push(packet)
    this.#isSecret ||= isSecret
    this.#gatheredBytes += packet.length
    if (onWritten !== undefined) this.#onWritten.push(onWritten)
  }

  /** One write for everything gathered: one system call and full TLS records. */
  flush(): void {
    if (this.#gathered.length === 0 || !this.#socket.writable) return
    if (this.#audited.length > 0) this.#replaceUnrecorded()
    const bytes = this.#join()
    const onWritten = this.#onWritten
    if (this.#isSecret) this.#secretWrites.add(bytes)
    this.#isSecret = false
    this.#gathered = []
    this.#gatheredBytes = 0
    this.#onWritten = []
    if (this.#writesUnderWay++ === 0) this.#timer.refresh()
    this.#socket.write(bytes, (error) => {
      this.#writesUnderWay--
      if (this.#secretWrites.delete(bytes)) bytes.fill(0)
      if (error !== undefined && error !== null) return
      this.#timer.refresh()
      const nowMs = onWritten.length > 0 ? performance.now() : 0
      for (const each of onWritten) each(nowMs)
      this.#events.written()
    })
  }

  /** The socket is closed. */
  stop(): void {
    clearTimeout(this.#timer)
    const left = this.#isSecret ? this.#gathered : []
    for (const bytes of [...left, ...this.#secretWrites]) bytes.fill(0)
    this.#secretWrites.clear()
  }

  /** Nobody gets an answer of which there is no record. */
  #replaceUnrecorded(): void {
    for (const { at, audited } of this.#audited) {
      const packet = this.#gathered[at]
      if (audited.batch.isKept || packet === undefined) continue
      const refusal = errorPacket(audited.id, 'ERR_KEYLESS_INTERNAL')
      if (this.#isSecret) packet.fill(0)
      this.#gathered[at] = refusal
      this.#gatheredBytes += refusal.length - packet.length
    }
    this.#audited = []
  }

  #join(): Uint8Array {
    const [first] = this.#gathered
    if (this.#gathered.length === 1 && first !== undefined) return first
    if (!this.#isSecret) return Buffer.concat(this.#gathered)
    // Not Buffer.concat: its memory is a piece of a pool, in which others find what was left there.
    const bytes = new Uint8Array(this.#gatheredBytes)
    let end = 0
    for (const packet of this.#gathered) {
      bytes.set(packet, end)
      end += packet.length
      packet.fill(0)
    }
    return bytes
  }
}

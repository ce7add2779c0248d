// A client that sends what a test tells it to, right or wrong, and shows what came back.
import { once } from 'node:events'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { type Operation, encodePacket, PacketFramer, type Packet, readPacket } from '@latchkey/wire'
import { pki } from './pki.ts'

/** A test that waits longer than this has failed. */
const PATIENCE_MS = 10_000

export class TestClient {
  readonly socket: TLSSocket
  /** Every packet that came, in order of arrival. */
  readonly packets: Packet[] = []
  /** The same as bytes. */
  readonly received: Uint8Array[] = []
  isClosed = false
  readonly #framer = new PacketFramer()
  #checks: (() => void)[] = []

  constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('data', (chunk: Uint8Array) => {
      this.received.push(chunk)
      this.#framer.push(chunk)
      for (let framed = this.#framer.next(); framed !== undefined; framed = this.#framer.next()) {
        this.packets.push(readPacket(framed))
      }
      this.#check()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.isClosed = true
      this.#check()
    })
  }

  send(...packets: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(packets))
  }

  /** Sends one request and waits for the reply with its id. */
  async ask(id: number, operation: Operation): Promise<Packet> {
    this.send(encodePacket(id, operation))
    return this.reply(id)
  }

  async reply(id: number): Promise<Packet> {
    await this.until(() => this.packets.some((packet) => packet.id === id))
    return this.packets.find((packet) => packet.id === id) as Packet
  }

  /** Waits for `count` packets in all. */
  async replies(count: number): Promise<readonly Packet[]> {
    await this.until(() => this.packets.length >= count)
    return this.packets
  }

  async closed(): Promise<void> {
    await this.until(() => this.isClosed)
  }

  /** Waits until `condition` holds; it is asked when something came or the connection closed. */
  async until(condition: () => boolean): Promise<void> {
    if (condition()) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const patience = setTimeout(
      () => reject(new Error(`waited in vain: ${condition.toString()}`)),
      PATIENCE_MS,
    )
    const check = (): void => {
      if (condition()) resolve()
      else if (this.isClosed) reject(new Error(`closed before: ${condition.toString()}`))
    }
    this.#checks.push(check)
    try {
      check()
      await promise
    } finally {
      clearTimeout(patience)
      this.#checks = this.#checks.filter((each) => each !== check)
    }
  }

  destroy(): void {
    this.socket.destroy()
  }

  #check(): void {
    for (const check of this.#checks) check()
  }
}

/** Connects as the usual client unless `options` say otherwise; rejects if the handshake fails on this side. */
export async function connectTo(port: number, options: ConnectionOptions = {}): Promise<TestClient> {
  const { ca, client } = await pki()
  const socket = connect({
    host: '127.0.0.1',
    port,
    ca: ca.certificatePem,
    cert: client.chainPem,
    key: client.privateKeyPem,
    ...options,
  })
  const testClient = new TestClient(socket)
  await once(socket, 'secureConnect')
  return testClient
}

/** The error byte of a reply; undefined if it is none. */
export function errorByte({ operation }: Packet): number | undefined {
  return operation.opcode === 0xff ? operation.payload?.[0] : undefined
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

// A TCP link that is far, narrow or broken, between a port of ours and another: what a test machine's kernel has no netem for.
// Delay and jitter are of each direction; order is kept, as TCP keeps it.
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export interface LinkShape {
  /** One way. */
  readonly delayMs: number
  /** Up to so much more, by chance. */
  readonly jitterMs: number
  /** Infinity: as wide as may be. */
  readonly bytesPerSecond: number
}

/** `well`; `stalled`: nothing comes through, and all of it later; `black-hole`: nothing comes through, ever. */
type State = 'well' | 'stalled' | 'black-hole'

const WELL: LinkShape = { delayMs: 0, jitterMs: 0, bytesPerSecond: Infinity }

export class ShapedLink implements AsyncDisposable {
  readonly #server: Server
  readonly #target: number
  readonly #lanes = new Set<Lane>()
  #shape: LinkShape
  #state: State = 'well'

  private constructor(target: number, shape: LinkShape) {
    this.#target = target
    this.#shape = shape
    this.#server = createServer((near) => this.#accept(near))
  }

  static async start(target: number, shape: Partial<LinkShape>): Promise<ShapedLink> {
    const link = new ShapedLink(target, { ...WELL, ...shape })
    await new Promise<void>((resolve) => link.#server.listen(0, '127.0.0.1', resolve))
    return link
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** From now on. What was on its way keeps its time. */
  shape(shape: Partial<LinkShape>): void {
    this.#shape = { ...this.#shape, ...shape }
  }

  stall(): void {
    this.#state = 'stalled'
  }

  /** Nothing comes through, new connections included, and nobody is told. */
  blackHole(): void {
    this.#state = 'black-hole'
  }

  /** Breaks every connection, and each new one. */
  async cut(): Promise<void> {
    for (const lane of this.#lanes) lane.reset()
    this.#server.removeAllListeners('connection')
    this.#server.on('connection', (socket: Socket) => socket.resetAndDestroy())
  }

  /** As it was at first. What was stalled comes through; a connection that lost something in a black hole is broken. */
  mend(): void {
    const wasHole = this.#state === 'black-hole'
    this.#state = 'well'
    this.#server.removeAllListeners('connection')
    this.#server.on('connection', (near: Socket) => this.#accept(near))
    for (const lane of this.#lanes) {
      if (wasHole) lane.reset()
      else lane.release()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lane of this.#lanes) lane.reset()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(near: Socket): void {
    const far = connect(this.#target, '127.0.0.1')
    const sockets = [near, far]
    for (const socket of sockets) {
      socket.setNoDelay(true)
      socket.on('error', () => {}) // the other end is told by its close
    }
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const lane = new Lane(from, to, () => ({ shape: this.#shape, state: this.#state }))
      this.#lanes.add(lane)
      from.once('close', () => {
        this.#lanes.delete(lane)
        to.destroy()
      })
    }
  }
}

/** One direction of one connection. */
class Lane {
  readonly #from: Socket
  readonly #to: Socket
  /** When the last bytes arrive: later ones do not overtake them. */
  #arrivesAt = 0
  readonly #held: Buffer[] = []
  readonly #now: () => { readonly shape: LinkShape; readonly state: State }

  constructor(from: Socket, to: Socket, now: () => { readonly shape: LinkShape; readonly state: State }) {
    this.#from = from
    this.#to = to
    this.#now = now
    from.on('data', (bytes: Buffer) => this.#send(bytes))
  }

  release(): void {
    for (const bytes of this.#held.splice(0)) this.#send(bytes)
  }

  reset(): void {
    for (const socket of [this.#from, this.#to]) socket.resetAndDestroy()
  }

  #send(bytes: Buffer): void {
    const { shape, state } = this.#now()
    if (state === 'black-hole') return
    if (state === 'stalled') return void this.#held.push(bytes)
    const { delayMs, jitterMs, bytesPerSecond } = shape
    const now = performance.now()
    const travels = now + delayMs + jitterMs * Math.random()
    const begins = Math.max(travels, this.#arrivesAt)
    this.#arrivesAt = begins + (bytes.length / bytesPerSecond) * 1000
    const waitMs = this.#arrivesAt - now
    if (waitMs <= 0) return void this.#to.write(bytes)
    setTimeout(() => this.#to.destroyed || this.#to.write(bytes), waitMs)
  }
}

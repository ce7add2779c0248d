// Requests without an answer yet: those that wait to be sent, and those that were sent, by id. Pure.
import { type Operation, setPacketId } from '@latchkey/wire'

/** Ids are u32. */
const LAST_ID = 0xffffffff

export interface PendingRequest {
  /** The packet; its id is set when it is sent. */
  readonly packet: Uint8Array
  /** What goes out instead on a connection with scoped signing. */
  readonly scoped?: Operation | undefined
  /** How often it may be sent: key operations are safe to repeat. */
  readonly maxAttempts: number
  /** When it is given up, on the clock of {@link PendingRequests.takeExpired}. */
  readonly deadline: number
  /** Called once with an answer, after which it is not pending any more. */
  readonly resolve: (reply: Operation) => void
  /** Called once without an answer. */
  readonly reject: (error: Error) => void
  attempts: number
  sentAt: number
  /** Defined while it is in flight. */
  id: number | undefined
}

/**
 * Holds what is pending and hands out ids: they count up and skip those still in flight. Whoever takes a request out
 * settles it. An id that was given up is free again, but comes round only after four thousand million others, so a
 * late reply finds no request and is dropped.
 */
export class PendingRequests {
  /** In sending order; a Set, so that one given up leaves without a search. */
  readonly #waiting = new Set<PendingRequest>()
  readonly #inFlight = new Map<number, PendingRequest>()
  #waitingBytes = 0
  readonly #lastId: number
  #nextId = 0

  /** @param lastId after it ids start at 0 again. */
  constructor(lastId = LAST_ID) {
    this.#lastId = lastId
  }

  get waiting(): number {
    return this.#waiting.size
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  get size(): number {
    return this.#waiting.size + this.#inFlight.size
  }

  add(request: PendingRequest): void {
    this.#waiting.add(request)
    this.#waitingBytes += request.packet.length
  }

  /** The next one to be sent, now in flight under an id of its own. */
  send(now: number): PendingRequest | undefined {
    for (const request of this.#waiting) {
      this.drop(request)
      request.id = this.#freeId()
      request.sentAt = now
      request.attempts++
      setPacketId(request.packet, request.id)
      this.#inFlight.set(request.id, request)
      return request
    }
    return undefined
  }

  /** The request that `id` answers; undefined if nobody waits for that any more. */
  takeAnswered(id: number): PendingRequest | undefined {
    const request = this.#inFlight.get(id)
    if (request !== undefined) this.drop(request)
    return request
  }

  /** Those whose deadline has come. */
  takeExpired(now: number): PendingRequest[] {
    return this.#take(this.#all().filter(({ deadline }) => deadline <= now))
  }

  takeWaiting(): PendingRequest[] {
    return this.#take([...this.#waiting])
  }

  takeAll(): PendingRequest[] {
    return this.#take(this.#all())
  }

  /**
   * The connection is gone: what was in flight waits to be sent again, in the old order and behind nobody.
   *
   * @returns those that have had their last attempt.
   */
  takeExhausted(): PendingRequest[] {
    const lost = this.#take([...this.#inFlight.values()])
    const waiting = this.#take([...this.#waiting])
    for (const request of lost) if (request.attempts < request.maxAttempts) this.add(request)
    for (const request of waiting) this.add(request)
    return lost.filter(({ attempts, maxAttempts }) => attempts >= maxAttempts)
  }

  /** Forgets `request`; false if it was not pending. */
  drop(request: PendingRequest): boolean {
    if (this.#waiting.delete(request)) {
      this.#waitingBytes -= request.packet.length
      return true
    }
    const { id } = request
    if (id === undefined || this.#inFlight.get(id) !== request) return false
    request.id = undefined
    return this.#inFlight.delete(id)
  }

  #all(): PendingRequest[] {
    return [...this.#inFlight.values(), ...this.#waiting]
  }

  #take(requests: PendingRequest[]): PendingRequest[] {
    for (const request of requests) this.drop(request)
    return requests
  }

  #freeId(): number {
    while (this.#inFlight.has(this.#nextId)) this.#advance()
    const id = this.#nextId
    this.#advance()
    return id
  }

  #advance(): void {
    this.#nextId = this.#nextId === this.#lastId ? 0 : this.#nextId + 1
  }
}

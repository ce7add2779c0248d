// The operations that take long (RSA, large curves) and run beside the event loop: so many at a time as there are
// slots, in turn for each connection. One client's thousand RSA requests then hold up another's for one operation, and
// what is quick (P-256, a ping) for none at all.
//
// What waits here is bounded by its owner: a connection has at most `maxInFlight` requests under way.

interface Job {
  readonly signal: AbortSignal
  /** Starts the work, or gives it up; settles in either case. */
  readonly run: () => Promise<void>
  readonly giveUp: () => void
}

export class BackgroundLane {
  readonly #slots: number
  /** Owners with waiting work, in the order of their turns. */
  readonly #waiting = new Map<object, Job[]>()
  #running = 0

  /** @param slots how many run at a time: about as many as there are cores. */
  constructor(slots: number) {
    this.#slots = slots
  }

  get running(): number {
    return this.#running
  }

  /** Has `start` run when it is `owner`'s turn. @throws the signal's reason, as a rejection, if that comes too late. */
  run<T>(owner: object, start: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const job: Job = {
        signal,
        run: async () => {
          try {
            resolve(await start())
          } catch (error) {
            reject(error)
          }
        },
        giveUp: () => reject(signal.reason as Error),
      }
      const line = this.#waiting.get(owner)
      if (line === undefined) this.#waiting.set(owner, [job])
      else line.push(job)
      this.#fill()
    })
  }

  #fill(): void {
    while (this.#running < this.#slots) {
      const job = this.#next()
      if (job === undefined) return
      if (job.signal.aborted) job.giveUp()
      else void this.#start(job)
    }
  }

  async #start(job: Job): Promise<void> {
    this.#running++
    await job.run()
    this.#running--
    this.#fill()
  }

  /** The first job of the owner whose turn it is; that owner then goes to the end. */
  #next(): Job | undefined {
    for (const [owner, line] of this.#waiting) {
      const job = line.shift()
      this.#waiting.delete(owner)
      if (line.length > 0) this.#waiting.set(owner, line)
      if (job !== undefined) return job
    }
    return undefined
  }
}

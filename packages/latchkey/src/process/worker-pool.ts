// The same work in several processes that share their listening sockets: one for each core. The supervising process
// accepts connections and hands them out in turn (node:cluster), so that two clients do not end up at one worker, as
// they may where the kernel chooses by a hash of addresses (docs/decisions/0010).
//
//   starting ──(ready)──▶ up ──(ends without being asked)──▶ waiting ──(back-off)──▶ starting
//      └──(failed, or silent for too long)──────────────────────▲
//
// A worker whose event loop is stuck answers nothing any more: it is killed, and that is an end without being asked.
//
// A worker that fails before the pool was ever up ends the start: the fault is in the configuration.
import cluster, { type Worker } from 'node:cluster'
import type { Logger } from '@latchkey/core'
import type { Answer, FirstMessage, Question } from './worker-messages.ts'
import { WorkerStartError } from './worker-start-error.ts'

const START_MS = 120_000
const BACK_OFF_MS = 500
const MAX_BACK_OFF_MS = 30_000
/** A worker that ran for so long did not fail at its start. */
const SETTLED_MS = 10_000
/** Then it is asked once more: a machine that was paused comes back with every time-out over. */
const SECOND_CHANCE_MS = 5000

export interface WorkerPoolOptions {
  readonly count: number
  /** The module that workers run, and its arguments. */
  readonly exec: string
  readonly args: readonly string[]
  readonly execArgv: readonly string[]
  readonly cwd: string
  /** Asked of each worker when it starts, as the question "start". `isLate`: in place of one that ended. */
  readonly startValue: (index: number, isLate: boolean) => unknown
  readonly env: Readonly<Record<string, string>>
  /** The first is up before the others begin, so that what it fails at is tried once. Default: all begin together. */
  readonly isFirstAlone?: boolean
  /** A worker that does not answer for so long is stuck. */
  readonly stuckMs: number
  readonly logger: Logger
}

interface Slot {
  readonly index: number
  worker: Worker | undefined
  isUp: boolean
  /** Whether it is asked for a sign of life at the moment. */
  isAsked: boolean
  failures: number
  startedAt: number
  retry: NodeJS.Timeout | undefined
  /** Settled by the worker's first message, or its end. */
  first: PromiseWithResolvers<void>
}

interface Pending {
  readonly slot: Slot
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

export class WorkerPool implements AsyncDisposable {
  readonly #options: WorkerPoolOptions
  readonly #slots: readonly Slot[]
  readonly #pending = new Map<number, Pending>()
  #nextId = 0
  #hasStarted = false
  #rounds: NodeJS.Timeout | undefined
  #isClosing = false

  private constructor(options: WorkerPoolOptions) {
    this.#options = options
    this.#slots = Array.from({ length: options.count }, (_, index) => ({
      index,
      worker: undefined,
      isUp: false,
      isAsked: false,
      failures: 0,
      startedAt: 0,
      retry: undefined,
      first: Promise.withResolvers<void>(),
    }))
  }

  /**
   * Resolves when all workers are up.
   *
   * @throws {WorkerStartError} with what the first one that failed had to say; none is left running then.
   */
  static async start(options: WorkerPoolOptions): Promise<WorkerPool> {
    cluster.schedulingPolicy = cluster.SCHED_RR
    cluster.setupPrimary({
      exec: options.exec,
      args: [...options.args],
      execArgv: [...options.execArgv],
      cwd: options.cwd,
    })
    const pool = new WorkerPool(options)
    const start = (slot: Slot): Promise<void> => {
      pool.#fork(slot)
      return slot.first.promise
    }
    try {
      const [first, ...others] = pool.#slots
      if (options.isFirstAlone === true && first !== undefined) await start(first)
      await Promise.all((options.isFirstAlone === true ? others : pool.#slots).map(start))
    } catch (error) {
      await pool.close(0)
      throw error
    }
    pool.#hasStarted = true
    pool.#rounds = setInterval(() => {
      for (const slot of pool.#slots) void pool.#endIfStuck(slot)
    }, options.stuckMs / 3).unref()
    return pool
  }

  /** Of workers that do their work at the moment. */
  get pids(): readonly number[] {
    return this.#slots.flatMap(({ worker, isUp }) =>
      isUp && worker !== undefined ? [worker.process.pid ?? 0] : [],
    )
  }

  /**
   * Asks every worker that is up.
   *
   * @throws {Error} of the first that fails, ends, or does not answer in time.
   */
  async ask<T>(name: string, value: unknown, timeoutMs: number): Promise<T[]> {
    return await Promise.all(this.#askAll<T>(name, value, timeoutMs))
  }

  /** The answers of those that give one: a worker may end at any moment, and the others are well. */
  async askSome<T>(name: string, timeoutMs: number): Promise<T[]> {
    const outcomes = await Promise.allSettled(this.#askAll<T>(name, undefined, timeoutMs))
    return outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  }

  #askAll<T>(name: string, value: unknown, timeoutMs: number): Promise<T>[] {
    return this.#slots.filter(({ isUp }) => isUp).map((slot) => this.#ask<T>(slot, name, value, timeoutMs))
  }

  /** Has all workers end, each when it has finished what is under way; those that do not are killed after `ms`. */
  async close(ms: number): Promise<void> {
    this.#isClosing = true
    clearInterval(this.#rounds)
    const ended = this.#slots.map(async (slot) => {
      clearTimeout(slot.retry)
      const { worker } = slot
      if (worker === undefined || worker.isDead()) return
      const exit = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
      worker.process.kill('SIGTERM')
      const kill = setTimeout(() => worker.process.kill('SIGKILL'), ms)
      await exit
      clearTimeout(kill)
    })
    await Promise.all(ended)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(START_MS)
  }

  async #endIfStuck(slot: Slot): Promise<void> {
    const { stuckMs, logger } = this.#options
    const { worker } = slot
    if (worker === undefined || !slot.isUp || slot.isAsked) return
    const answers = (ms: number): Promise<boolean> =>
      this.#ask(slot, 'alive', undefined, ms).then(
        () => true,
        () => false,
      )
    slot.isAsked = true
    let isStuck = !(await answers(stuckMs))
    const isThere = (): boolean => slot.worker === worker && slot.isUp && !this.#isClosing
    if (isStuck && isThere()) isStuck = !(await answers(Math.min(stuckMs, SECOND_CHANCE_MS)))
    slot.isAsked = false
    if (!isStuck || !isThere() || worker.process.killed) return
    logger.error(`worker ${slot.index} has not answered for ${stuckMs} ms: its event loop is stuck`)
    worker.process.kill('SIGKILL')
  }

  #fork(slot: Slot): void {
    const worker = cluster.fork(this.#options.env)
    slot.worker = worker
    slot.startedAt = performance.now()
    slot.first = Promise.withResolvers<void>()
    slot.first.promise.catch(() => {}) // a later start that fails is retried, and nobody waits for it
    const patience = setTimeout(() => {
      slot.first.reject(new WorkerStartError(`worker ${slot.index} did not start within ${START_MS} ms`))
      worker.process.kill('SIGKILL')
    }, START_MS)
    worker.once('exit', (code, signal) => {
      clearTimeout(patience)
      this.#onExit(slot, signal ?? `exit code ${code}`)
    })
    worker.on('message', (message: Answer | FirstMessage) => {
      if ('id' in message) return this.#onAnswer(message)
      clearTimeout(patience)
      if (message.first === 'failed') slot.first.reject(new WorkerStartError(message.text))
      else {
        slot.isUp = true
        slot.first.resolve()
      }
    })
    const start: Question = {
      id: 0,
      name: 'start',
      value: this.#options.startValue(slot.index, this.#hasStarted),
    }
    worker.send(start, () => {}) // a worker that is gone already is seen by its exit
  }

  #onExit(slot: Slot, how: string): void {
    const { logger } = this.#options
    const wasUp = slot.isUp
    slot.isUp = false
    slot.first.reject(new WorkerStartError(`worker ${slot.index} ended at its start: ${how}`))
    for (const [id, { slot: asked, reject }] of this.#pending) {
      if (asked !== slot) continue
      this.#pending.delete(id)
      reject(new Error(`worker ${slot.index} ended: ${how}`))
    }
    if (this.#isClosing || !this.#hasStarted) return
    const isSettled = wasUp && performance.now() - slot.startedAt >= SETTLED_MS
    slot.failures = isSettled ? 1 : slot.failures + 1
    const afterMs = Math.min(MAX_BACK_OFF_MS, BACK_OFF_MS * 2 ** (slot.failures - 1))
    logger.error(`worker ${slot.index} ended: ${how}; another one starts in ${afterMs} ms`)
    slot.retry = setTimeout(() => {
      this.#fork(slot)
      slot.first.promise.then(
        () => logger.info(`worker ${slot.index} is up again`),
        (error: unknown) =>
          logger.error(`worker ${slot.index}: ${error instanceof Error ? error.message : ''}`),
      )
    }, afterMs)
  }

  #ask<T>(slot: Slot, name: string, value: unknown, timeoutMs: number): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const id = ++this.#nextId
    const late = setTimeout(() => {
      this.#pending.delete(id)
      reject(new Error(`worker ${slot.index} did not answer within ${timeoutMs} ms`))
    }, timeoutMs)
    this.#pending.set(id, {
      slot,
      resolve: (answer) => {
        clearTimeout(late)
        resolve(answer as T)
      },
      reject: (error) => {
        clearTimeout(late)
        reject(error)
      },
    })
    const question: Question = { id, name, value }
    // With a callback, as the channel of a worker that ends at this moment would throw an error into the process.
    slot.worker?.send(question, (error) => {
      if (error !== null) this.#onAnswer({ id, failure: error.message })
    })
    return promise
  }

  #onAnswer(answer: Answer): void {
    const pending = this.#pending.get(answer.id)
    if (pending === undefined) return
    this.#pending.delete(answer.id)
    if ('failure' in answer) pending.reject(new Error(answer.failure))
    else pending.resolve(answer.value)
  }
}

// Parts of a test or bench in processes of their own, spoken to over IPC: one question, one answer.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

export class Child implements AsyncDisposable {
  readonly #process: ChildProcess

  private constructor(child: ChildProcess) {
    this.#process = child
  }

  /** Starts a module and sends it `start`; resolves with the child and its first answer. */
  static async start<Answer>(module: URL, start: object): Promise<{ child: Child; answer: Answer }> {
    const child = new Child(fork(module, { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }))
    return { child, answer: await child.ask<Answer>(start) }
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  /** @throws if the child ends without an answer. */
  async ask<Answer>(question: object): Promise<Answer> {
    const settled = new AbortController()
    const { signal } = settled
    const answer = once(this.#process, 'message', { signal }).then(([message]) => message as Answer)
    const exit = once(this.#process, 'exit', { signal }).then(([code]): never => {
      throw new Error(`the child process ended with ${String(code)}`)
    })
    this.#process.send(question)
    try {
      return await Promise.race([answer, exit])
    } finally {
      settled.abort()
      await Promise.allSettled([answer, exit])
    }
  }

  /** Microseconds of CPU the process used since the last question; it must have called `answerParent`. */
  async cpuMicros(): Promise<number> {
    return (await this.ask<{ cpuMicros: number }>({ cpu: true })).cpuMicros
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exit = once(this.#process, 'exit')
    this.#process.disconnect()
    await exit
  }
}

// One process of the demo: started, watched until it is ready, its last lines kept, ended by its id.
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const COMMAND = fileURLToPath(new URL('../../bin/latchkey.js', import.meta.url))

/** As the installed command starts: bin/latchkey.js says why. */
const NODE_FLAGS = ['--max-semi-space-size=2', '--disable-warning=ExperimentalWarning']

/** Enough to see why something failed, and all of what one visit causes. */
const KEPT_LINES = 200
/** A slow machine under load needs a second or two; more is a fault. */
const READY_MS = 30_000
/** Daemons drain for less than this when nothing is under way. */
const END_MS = 5_000

/** A process of ours that did not do what it should: its last lines say why. */
export class ChildFailure extends Error {
  readonly lastLines: readonly string[]

  constructor(text: string, lastLines: readonly string[]) {
    super(text)
    this.lastLines = lastLines
  }
}

export interface ChildOptions {
  readonly name: string
  /** Of the latchkey command. */
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
}

export class Child implements AsyncDisposable {
  readonly name: string
  readonly #process: ChildProcess
  readonly #lines: string[] = []
  readonly #watchers = new Set<() => void>()
  readonly #ended: Promise<string>
  #end: string | undefined

  constructor({ name, args, cwd, env }: ChildOptions) {
    this.name = name
    // The IPC channel carries nothing: it closes with us, however we end, and then the child ends by itself.
    this.#process = spawn(process.execPath, [...NODE_FLAGS, COMMAND, ...args], {
      cwd,
      env: { ...env },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    const { promise, resolve } = Promise.withResolvers<string>()
    this.#ended = promise
    const end = (text: string): void => {
      this.#end ??= text
      resolve(this.#end)
      this.#notify()
    }
    this.#process.once('error', (error) => end(`could not be started: ${error.message}`))
    // Not 'exit': its last lines are still to be read then.
    this.#process.once('close', (code, signal) => end(`ended with ${signal ?? `exit code ${code}`}`))
    if (this.#process.stderr !== null) {
      createInterface({ input: this.#process.stderr }).on('line', (line) => {
        this.#lines.push(line)
        if (this.#lines.length > KEPT_LINES) this.#lines.shift()
        this.#notify()
      })
    }
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  /** The last lines it wrote. */
  get lines(): readonly string[] {
    return this.#lines
  }

  /** Resolves with what became of it. */
  get ended(): Promise<string> {
    return this.#ended
  }

  /**
   * The first line that `pattern` matches, now or later.
   *
   * @throws {ChildFailure} if it ends before, or does not write such a line in time.
   */
  async line(pattern: RegExp, timeoutMs = READY_MS): Promise<RegExpExecArray> {
    const deadline = AbortSignal.timeout(timeoutMs)
    for (;;) {
      for (const line of this.#lines) {
        const match = pattern.exec(line)
        if (match !== null) return match
      }
      if (this.#end !== undefined) throw this.failure(this.#end)
      if (deadline.aborted) throw this.failure(`said nothing like ${pattern} within ${timeoutMs / 1000} s`)
      await this.#change(deadline)
    }
  }

  failure(what: string): ChildFailure {
    return new ChildFailure(`the ${this.name} process ${what}`, this.#lines.slice(-10))
  }

  /** Asks it to end, then insists. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#end !== undefined || this.#process.pid === undefined) return
    this.#process.kill('SIGTERM')
    const insist = AbortSignal.timeout(END_MS)
    const kill = (): unknown => this.#process.kill('SIGKILL')
    insist.addEventListener('abort', kill)
    await this.#ended
    insist.removeEventListener('abort', kill)
  }

  /** For the end of our own process, when nothing can be waited for. */
  killNow(): void {
    if (this.#end === undefined) this.#process.kill('SIGKILL')
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher()
  }

  /** Resolves with the next line, its end, or the deadline. */
  #change(deadline: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#watchers.delete(done)
        deadline.removeEventListener('abort', done)
        resolve()
      }
      this.#watchers.add(done)
      deadline.addEventListener('abort', done)
    })
  }
}

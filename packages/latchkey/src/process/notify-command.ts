// Tells systemd by its own command, where this Node cannot send datagrams. Slower, and the unit needs NotifyAccess=all.
import { execFile } from 'node:child_process'

const TIMEOUT_MS = 5000
/** Messages that wait for the ones before them: they must arrive in order. */
const MAX_WAITING = 16

export class NotifyCommand {
  readonly #socketName: string
  readonly #failed: () => void
  #last: Promise<void> = Promise.resolve()
  #waiting = 0

  /** @param failed the command is not there or did not take a message. */
  constructor(socketName: string, failed: () => void) {
    this.#socketName = socketName
    this.#failed = failed
  }

  /** Sends assignments, one a line, when those before are sent. False: too many wait. */
  send(text: string): boolean {
    if (this.#waiting >= MAX_WAITING) return false
    this.#waiting++
    this.#last = this.#last.then(() => this.#run(text.split('\n'))).finally(() => this.#waiting--)
    return true
  }

  /** Resolves when everything is sent or has failed. */
  idle(): Promise<void> {
    return this.#last
  }

  #run(assignments: readonly string[]): Promise<void> {
    const env = { PATH: process.env['PATH'], NOTIFY_SOCKET: this.#socketName }
    const args = ['--no-block', `--pid=${process.pid}`, ...assignments]
    return new Promise((resolve) => {
      execFile('systemd-notify', args, { env, timeout: TIMEOUT_MS }, (error) => {
        if (error !== null) this.#failed()
        resolve()
      })
    })
  }
}

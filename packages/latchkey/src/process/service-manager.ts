// What systemd is told about this process: that it is ready, reloads, ends, and still turns its event loop.
// sd_notify(3), sd_watchdog_enabled(3). Without NOTIFY_SOCKET in the environment nobody wants to know.
import type { Logger } from '@latchkey/core'
import { NotifyCommand } from './notify-command.ts'
import { openDatagramSocket } from './notify-socket.ts'

export interface ServiceManager extends AsyncDisposable {
  /** The service does its work now. `status` gives one line for `systemctl status`, asked again after a reload. */
  ready(status: () => string): void
  /** Runs `reload` between the two messages that make `systemctl reload` wait for it. */
  reloading(reload: () => Promise<void>): Promise<void>
  stopping(status: string): void
}

export interface ServiceManagerOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly logger: Logger
  /** For tests: how messages leave. Default: node:ffi, else the command systemd-notify. */
  readonly openSocket?: typeof openDatagramSocket
}

/** Finds out who started this process; the watchdog, if there is one, is fed from now on. */
export function connectServiceManager(options: ServiceManagerOptions): ServiceManager {
  const socketName = options.env['NOTIFY_SOCKET']
  if (socketName === undefined || socketName === '') return NOBODY
  return new Systemd(socketName, options)
}

const NOBODY: ServiceManager = {
  ready: () => {},
  reloading: (reload) => reload(),
  stopping: () => {},
  [Symbol.asyncDispose]: () => Promise.resolve(),
}

/** setInterval waits no longer. */
const MAX_TIMER_MS = 2 ** 31 - 1

class Systemd implements ServiceManager {
  readonly #logger: Logger
  readonly #stack = new AsyncDisposableStack()
  readonly #send: (text: string) => boolean
  /** Undefined: not ready yet. */
  #status: (() => string) | undefined
  #hasWarned = false

  constructor(socketName: string, { env, logger, openSocket = openDatagramSocket }: ServiceManagerOptions) {
    this.#logger = logger
    const socket = openSocket(socketName)
    if (socket !== undefined) {
      this.#stack.use(socket)
      this.#send = (text) => socket.send(text)
    } else {
      const command = new NotifyCommand(socketName, () => this.#warn())
      this.#stack.defer(() => command.idle())
      this.#send = (text) => command.send(text)
    }
    const allowedMs = watchdogMs(env)
    if (allowedMs === undefined) return
    // Half of it, as sd_watchdog_enabled(3) recommends.
    const intervalMs = Math.min(Math.max(Math.floor(allowedMs / 2), 1), MAX_TIMER_MS)
    // A timer of the event loop: when the loop is stuck, nothing is sent, and systemd restarts the process.
    const timer = setInterval(() => this.#tell('WATCHDOG=1'), intervalMs)
    timer.unref()
    this.#stack.defer(() => clearInterval(timer))
  }

  ready(status: () => string): void {
    this.#status = status
    this.#tell(`READY=1\nSTATUS=${oneLine(status())}`)
  }

  async reloading(reload: () => Promise<void>): Promise<void> {
    const status = this.#status
    if (status === undefined) return reload()
    const monotonicUsec = process.hrtime.bigint() / 1000n // CLOCK_MONOTONIC on Linux
    this.#tell(`RELOADING=1\nMONOTONIC_USEC=${monotonicUsec}\nSTATUS=reloading`)
    try {
      await reload()
    } finally {
      this.ready(status)
    }
  }

  stopping(status: string): void {
    this.#tell(`STOPPING=1\nSTATUS=${oneLine(status)}`)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync()
  }

  #tell(text: string): void {
    if (!this.#send(text)) this.#warn()
  }

  #warn(): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    this.#logger.warning(
      'systemd cannot be told about this service: it needs node:ffi of Node 26, or the command systemd-notify and NotifyAccess=all',
    )
  }
}

/** How long systemd allows an event loop to be stuck; undefined: it does not look, or not at this process. */
export function watchdogMs(env: ServiceManagerOptions['env']): number | undefined {
  const { WATCHDOG_USEC: usec = '', WATCHDOG_PID: pid } = env
  if (!/^[1-9]\d{0,15}$/.test(usec)) return undefined
  if (pid !== undefined && pid !== '' && pid !== String(process.pid)) return undefined
  return Number(usec) / 1000
}

function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, ' ')
}

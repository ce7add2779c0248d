// The shell of the link: dials, keeps the connection, and does what link.ts decides.
import type { ClockMs, Logger } from '@latchkey/core'
import type { FramedPacket } from '@latchkey/wire'
import type { KeyServerCounts } from './client.ts'
import { Connection } from './connection.ts'
import type { Dialler } from './dial.ts'
import { type Link, type LinkEffect, type LinkEvent, type LinkState, step } from './link.ts'
import { Liveness } from './liveness.ts'
import type { ClientLimits } from './options.ts'

/** For so long after its last request a link is redialled as if somebody waited. */
const BUSY_FOR_MS = 60_000

export interface KeptLinkOptions {
  readonly dialler: Dialler
  readonly limits: ClientLimits
  readonly logger: Logger
  readonly clock: ClockMs
  readonly random: () => number
  readonly counts: KeyServerCounts
}

/** What the owner of a link is told. */
export interface KeptLinkHandlers {
  /** Packets may go out: a connection was made, or has room again. */
  readonly onWritable: () => void
  readonly onPacket: (framed: FramedPacket) => void
  /** What was in flight is not answered any more. The next connection comes by itself. */
  readonly onLost: (error: Error) => void
  /** No connection is to be had now: whoever waits for one must be told so. */
  readonly onRefused: (error: Error | undefined) => void
}

interface OpenConnection {
  readonly connection: Connection
  readonly liveness: Liveness
}

export class KeptLink {
  readonly #options: KeptLinkOptions
  readonly #handlers: KeptLinkHandlers
  #link: Link = { state: 'idle' }
  #open: OpenConnection | undefined
  #cancelDial: (() => void) | undefined
  #wakeTimer: NodeJS.Timeout | undefined
  #lastError: Error | undefined
  #lastWantedAt = -Infinity
  #goodbye: Promise<void> | undefined

  constructor(options: KeptLinkOptions, handlers: KeptLinkHandlers) {
    this.#options = options
    this.#handlers = handlers
  }

  get state(): LinkState {
    return this.#link.state
  }

  /** The connection that packets go out on, if there is one. */
  get open(): OpenConnection | undefined {
    return this.#open
  }

  /** Why it last failed; undefined once it has been answered on again. */
  get lastError(): Error | undefined {
    return this.#lastError
  }

  /** Somebody asks: a connection is made, or refused by `onRefused` before this returns. */
  want(): void {
    this.#lastWantedAt = this.#options.clock()
    if (this.#open === undefined) this.#dispatch('wanted')
  }

  /** A packet came that made sense. */
  noteAnswered(): void {
    if (this.#link.state !== 'open' || this.#link.isProven) return
    this.#lastError = undefined
    this.#dispatch('answered')
  }

  /** Hangs up for good. */
  async close(): Promise<void> {
    this.#dispatch('close')
    await this.#goodbye
  }

  #dispatch(event: LinkEvent): void {
    const { clock, random } = this.#options
    const now = clock()
    const isBusy = now - this.#lastWantedAt < BUSY_FOR_MS
    const { link, effects } = step(this.#link, event, { now, random: random(), isBusy })
    this.#link = link
    for (const effect of effects) this.#run(effect)
  }

  #run(effect: LinkEffect): void {
    switch (effect.effect) {
      case 'dial':
        this.#dial()
        return
      case 'wake':
        clearTimeout(this.#wakeTimer)
        // Being wanted one day does not keep a process running; a pending request does, by its owner's timer.
        this.#wakeTimer = setTimeout(() => this.#dispatch('retry-due'), effect.afterMs).unref()
        return
      case 'refuse-waiting':
        this.#handlers.onRefused(this.#lastError)
        return
      case 'hang-up':
        clearTimeout(this.#wakeTimer)
        this.#cancelDial?.()
        this.#goodbye = this.#open?.connection.close()
        this.#open = undefined
        return
      default:
        effect satisfies never
    }
  }

  #dial(): void {
    const { dialler, limits, logger, clock, counts } = this.#options
    clearTimeout(this.#wakeTimer)
    counts.dials++
    this.#cancelDial = dialler.dial(limits.connectTimeoutMs, {
      onOpen: (socket) => {
        const connection = new Connection(socket, {
          onPacket: this.#handlers.onPacket,
          onDrain: this.#handlers.onWritable,
          onLost: (error) => this.#lose(error),
        })
        logger.info('connected to key server', { tls: connection.tlsVersion })
        this.#open = { connection, liveness: new Liveness(limits, clock()) }
        this.#dispatch('dialled')
        this.#handlers.onWritable()
      },
      onFailed: (error) => {
        counts.failedDials++
        this.#noteFailure('cannot reach key server', error)
        this.#dispatch('dial-failed')
      },
    })
  }

  #lose(error: Error): void {
    this.#open = undefined
    this.#options.counts.lostConnections++
    this.#noteFailure('lost connection to key server', error)
    this.#handlers.onLost(error)
    this.#dispatch('lost')
  }

  /** The first failure in a row is news, the others are not. */
  #noteFailure(text: string, error: Error): void {
    const fields = { reason: reasonOf(error) }
    if (this.#lastError === undefined) this.#options.logger.warning(text, fields)
    else this.#options.logger.debug(text, fields)
    this.#lastError = error
  }
}

/** An operator's one word for it where there is one: `ECONNREFUSED`, `ERR_TLS_CERT_ALTNAME_INVALID`. */
export function reasonOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}

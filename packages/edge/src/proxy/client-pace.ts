// Whether a client keeps pace: takes what is there for it, sends what it has announced. One that does neither holds a
// connection to the origin for as long as it likes, a byte now and then is enough against a mere idle timeout.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { EdgeLimits } from '../limits.ts'

export type Direction = 'upload' | 'download'

export interface PaceOptions {
  readonly graceMs: number
  /** Between two checks. */
  readonly intervalMs: number
  readonly bytesPerSecond: number
}

/**
 * A credit of time. Waiting for the client uses it up, bytes earn it back, up to `graceMs`. Whoever has kept us waiting for
 * nothing at a check owes nothing.
 *
 * Checks are counted and no clock is read: a process that was stopped for a minute must not blame its clients for it.
 */
export class Pace {
  readonly #options: PaceOptions
  #creditMs: number

  constructor(options: PaceOptions) {
    this.#options = options
    this.#creditMs = options.graceMs
  }

  /**
   * One check.
   *
   * @param isAwaited whether it is the client that holds things up.
   * @param bytes that have moved since the last check.
   * @returns whether there is credit left.
   */
  isKept(isAwaited: boolean, bytes: number): boolean {
    const { graceMs, intervalMs, bytesPerSecond } = this.#options
    const earnedMs = (bytes / bytesPerSecond) * 1000
    this.#creditMs = isAwaited ? Math.min(graceMs, this.#creditMs - intervalMs + earnedMs) : graceMs
    return this.#creditMs > 0
  }
}

/** So that a verdict is late by an eighth of the grace time at most. */
const CHECKS_PER_GRACE = 8
/** Also where the grace time is for ever. */
const MAX_INTERVAL_MS = 5_000

type PaceLimits = Pick<EdgeLimits, 'clientBytesPerSecond' | 'uploadGraceMs' | 'downloadGraceMs'>

/** Watches the pace of one request's client until {@link ClientWatch.stop}. */
export class ClientWatch {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #timer: NodeJS.Timeout | undefined
  readonly #paces: Readonly<Record<Direction, Pace>>
  readonly #bytes: Record<Direction, number>
  readonly #onSlow: (direction: Direction) => void
  #isUploadWanted = true
  /** RFC 9110 §10.1.1: it may wait for a 100 before it sends its body. */
  #mayWait: boolean

  /** @param onSlow called at each check that finds the client behind. */
  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    limits: PaceLimits,
    onSlow: (direction: Direction) => void,
  ) {
    this.#request = request
    this.#response = response
    this.#onSlow = onSlow
    this.#mayWait = request.headers.expect !== undefined
    const { clientBytesPerSecond: bytesPerSecond, uploadGraceMs, downloadGraceMs } = limits
    const intervalMs = Math.min(Math.min(uploadGraceMs, downloadGraceMs) / CHECKS_PER_GRACE, MAX_INTERVAL_MS)
    this.#paces = {
      upload: new Pace({ graceMs: uploadGraceMs, intervalMs, bytesPerSecond }),
      download: new Pace({ graceMs: downloadGraceMs, intervalMs, bytesPerSecond }),
    }
    this.#bytes = this.#moved()
    if (bytesPerSecond > 0) this.#timer = setInterval(() => this.#check(), intervalMs)
  }

  /** Whether there is more of the body to come, and the origin has room for it. */
  get isUploadAwaited(): boolean {
    const request = this.#request
    return this.#isUploadWanted && !this.#mayWait && !request.complete && !request.isPaused()
  }

  /** Whether there is more for the client than its connection takes; behind another response it is not its turn. */
  get isDownloadAwaited(): boolean {
    return this.#response.socket !== null && this.#response.writableLength > 0
  }

  /** The client has been told to send its body. */
  continued(): void {
    this.#mayWait = false
  }

  /** Whatever the client still sends is read and dropped: its pace does not matter. */
  ignoreUpload(): void {
    this.#isUploadWanted = false
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #check(): void {
    const { upload, download } = this.#moved()
    const before = { ...this.#bytes }
    Object.assign(this.#bytes, { upload, download })
    // It has begun without being told to.
    if (upload > before.upload) this.#mayWait = false
    if (!this.#paces.upload.isKept(this.isUploadAwaited, upload - before.upload)) this.#onSlow('upload')
    if (!this.#paces.download.isKept(this.isDownloadAwaited, download - before.download))
      this.#onSlow('download')
  }

  /**
   * Bytes of the whole connection: others than ours do not move while ours are awaited. What the kernel has taken counts as
   * taken, so a slow reader is seen in steps of its send buffer.
   */
  #moved(): Record<Direction, number> {
    const { bytesRead, bytesWritten } = this.#request.socket
    return { upload: bytesRead, download: bytesWritten }
  }
}

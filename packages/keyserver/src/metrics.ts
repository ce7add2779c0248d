// What a key server counts: the metrics of gokeyless by their names and labels, and one for each limit of ours.
import type { X509Certificate } from 'node:crypto'
import {
  type Counter,
  type Histogram,
  hostAndPort,
  type MetricRegistry,
  type SeriesIndex,
} from '@latchkey/core'
import { opcodeName } from '@latchkey/wire'
import { CertificateMetrics } from './certificate-metrics.ts'
import type { KeyServer } from './key-server.ts'
import { ERROR_TEXTS, REQUEST_TYPES, requestType } from './metric-labels.ts'
import type {
  ConnectionEnd,
  HandshakeFailure,
  KeyServerObserver,
  PauseCause,
  RequestOutcome,
} from './observer.ts'

/** 0.1 ms, doubled up to 1.6384 s. */
const BUCKETS = Array.from({ length: 15 }, (_, index) => 0.0001 * 2 ** index)
const OPCODES = 256
const UNKNOWN_ERROR = ERROR_TEXTS.length - 1

export interface KeyServerMetricsOptions {
  /** Milliseconds since the epoch. Default: the wall clock. */
  readonly nowMs?: () => number
}

/**
 * Counts into `registry` what a key server does: hand it to `createKeyServer` as its observer, then to `watch` the
 * server.
 */
export class KeyServerMetrics implements KeyServerObserver {
  readonly certificates: CertificateMetrics
  readonly #registry: MetricRegistry
  readonly #requests: Counter
  /** By opcode; 0 until the first request of that opcode. */
  readonly #requestSeries = new Int32Array(OPCODES)
  readonly #executed: DurationByOutcome
  readonly #answered: DurationByOutcome
  readonly #keyLoads: Histogram
  readonly #keyLoad: SeriesIndex
  readonly #failed: Counter
  readonly #refused: Counter
  readonly #closed: Counter
  readonly #handshakesFailed: Counter
  readonly #pauses: Counter
  readonly #drainsCut: Counter
  readonly #timedOut: Counter
  #listener = 'listener: '

  constructor(registry: MetricRegistry, { nowMs = Date.now }: KeyServerMetricsOptions = {}) {
    this.#registry = registry
    this.certificates = new CertificateMetrics(registry, nowMs)
    this.#requests = registry.counter('keyless_requests', {
      help: 'Requests on arrival, by opcode.',
      labelNames: ['opcode'],
    })
    this.#executed = new DurationByOutcome(
      registry,
      'keyless_request_exec_duration_per_opcode',
      'Seconds from a request read to its answer known, the look-up of the key included.',
    )
    this.#answered = new DurationByOutcome(
      registry,
      'keyless_request_total_duration_per_opcode',
      'Seconds from a request read to its reply written.',
    )
    this.#keyLoads = registry.histogram('keyless_key_load_duration', {
      help: 'Seconds to look up a key.',
      buckets: BUCKETS,
    })
    this.#keyLoad = this.#keyLoads.series()
    this.#failed = registry.counter('keyless_failed_connection', {
      help: 'Connections that ended other than by the read timeout or by us, a clean end by the client included.',
    })
    registry.gauge('server_utilization', { help: 'Not measured, as in gokeyless.', labelNames: ['type'] })
    this.#refused = registry.counter('latchkey_connections_refused_total', {
      help: 'Connections refused because there were too many, or too many in their TLS handshake.',
      labelNames: ['limit'],
    })
    this.#closed = registry.counter('latchkey_connections_closed_total', {
      help: 'Connections by how they ended.',
      labelNames: ['end'],
    })
    this.#handshakesFailed = registry.counter('latchkey_handshakes_failed_total', {
      help: 'TLS handshakes that came to nothing.',
      labelNames: ['reason'],
    })
    this.#pauses = registry.counter('latchkey_reading_paused_total', {
      help: 'Times that no more was read from a client because it had too much under way.',
      labelNames: ['cause'],
    })
    this.#drainsCut = registry.counter('latchkey_drains_cut_total', {
      help: 'Connections cut off before all was answered, because the time to drain was over.',
    })
    this.#timedOut = registry.counter('latchkey_operations_timed_out_total', {
      help: 'Key operations that took longer than they may.',
    })
    for (const limit of ['connections', 'handshakes']) this.#refused.series(limit)
  }

  /** Shows from now on what `server` holds. */
  watch(server: KeyServer): void {
    const gauge = (name: string, help: string): ((value: number) => void) =>
      this.#registry.number(name, { help })
    const connections = gauge('latchkey_connections', 'Connections whose client was let in.')
    const handshakes = gauge('latchkey_handshakes', 'TLS handshakes under way.')
    const executing = gauge('latchkey_requests_executing', 'Key operations that are waited for.')
    const queued = gauge('latchkey_queued_reply_bytes', 'Bytes of replies that clients have not read yet.')
    this.#registry.beforeSnapshot(() => {
      const status = server.status()
      connections(status.connections)
      handshakes(status.handshakes)
      executing(status.requestsExecuting)
      queued(status.queuedReplyBytes)
    })
  }

  /** Where clients are let in, for the source of their certificates. */
  listens({ address, port }: { readonly address: string; readonly port: number }): void {
    this.#listener = `listener: ${hostAndPort(address, port)}`
  }

  connectionOpened(chain: readonly X509Certificate[]): void {
    this.certificates.clientSeen(this.#listener, chain)
  }

  connectionClosed(end: ConnectionEnd): void {
    this.#closed.add(this.#closed.series(end))
    if (end !== 'idle' && end !== 'stalled' && end !== 'shutdown') this.#failed.add(this.#failed.series())
  }

  connectionRefused(limit: 'connections' | 'handshakes'): void {
    this.#refused.add(this.#refused.series(limit))
  }

  handshakeFailed(reason: HandshakeFailure): void {
    this.#handshakesFailed.add(this.#handshakesFailed.series(reason))
  }

  readingPaused(cause: PauseCause): void {
    this.#pauses.add(this.#pauses.series(cause))
  }

  drainCut(): void {
    this.#drainsCut.add(this.#drainsCut.series())
  }

  operationTimedOut(): void {
    this.#timedOut.add(this.#timedOut.series())
  }

  requestArrived(opcode: number): void {
    let series = this.#requestSeries[opcode] as number
    if (series === 0) {
      series = this.#requests.series(opcodeName(opcode))
      this.#requestSeries[opcode] = series
    }
    this.#requests.add(series)
  }

  keyLookedUp(durationMs: number): void {
    this.#keyLoads.observe(this.#keyLoad, durationMs / 1000)
  }

  requestAnswered(outcome: RequestOutcome): void {
    this.#executed.observe(outcome, outcome.executionMs)
  }

  replyWritten(outcome: RequestOutcome, totalMs: number): void {
    this.#answered.observe(outcome, totalMs)
  }
}

/** A histogram by type of request and error. */
class DurationByOutcome {
  readonly #histogram: Histogram
  /** By type and error; 0 until the first of them. */
  readonly #series = new Int32Array(REQUEST_TYPES.length * ERROR_TEXTS.length)

  constructor(registry: MetricRegistry, name: string, help: string) {
    this.#histogram = registry.histogram(name, { help, labelNames: ['type', 'error'], buckets: BUCKETS })
  }

  observe({ opcode, error = 0 }: RequestOutcome, durationMs: number): void {
    const type = TYPE_BY_OPCODE[opcode] as number
    const errorIndex = error < UNKNOWN_ERROR ? error : UNKNOWN_ERROR
    const at = type * ERROR_TEXTS.length + errorIndex
    let series = this.#series[at] as number
    if (series === 0) {
      series = this.#histogram.series(REQUEST_TYPES[type] as string, ERROR_TEXTS[errorIndex] as string)
      this.#series[at] = series
    }
    this.#histogram.observe(series, durationMs / 1000)
  }
}

/** Index in REQUEST_TYPES. */
const TYPE_BY_OPCODE = Uint8Array.from({ length: OPCODES }, (_, opcode) =>
  REQUEST_TYPES.indexOf(requestType(opcode)),
)

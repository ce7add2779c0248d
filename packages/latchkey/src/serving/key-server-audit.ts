// The audit log of a key server process: one chain, records of key uses and of what happens to the process.
import { AuditedClient, type AuditEvent, type AuditLog, openAudit } from '@latchkey/audit'
import type { Logger } from '@latchkey/core'
import type { AuditBatch, AuditTrail, AuditVerdict, Client, KeyRequest } from '@latchkey/keyserver'
import type { AuditConfig } from '../config/audit-settings.ts'

/** One line a minute is enough for as long as a disk is full. */
const SAY_AGAIN_MS = 60_000
const KEPT: AuditBatch = { isKept: true }

export interface KeyServerAuditOptions {
  /** Of the process: each has a chain of its own. */
  readonly index: number
  readonly logger: Logger
  readonly now: () => number
}

/** @throws {AuditError} */
export function auditKeyServer(
  config: AuditConfig | undefined,
  options: KeyServerAuditOptions,
): KeyServerAudit | undefined {
  return config === undefined ? undefined : new KeyServerAudit(config, options)
}

export class KeyServerAudit implements AuditTrail, Disposable {
  readonly #log: AuditLog
  readonly #logger: Logger
  readonly #now: () => number
  readonly #mustKeep: boolean
  /** The part of a record that is the same for all of a connection. */
  readonly #clients = new WeakMap<Client, AuditedClient>()
  #saidAt = Number.NEGATIVE_INFINITY
  #isFailing = false

  constructor({ onFailure, ...config }: AuditConfig, { index, logger, now }: KeyServerAuditOptions) {
    this.#log = openAudit({ ...config, name: `audit-${index}`, now })
    this.#logger = logger
    this.#now = now
    this.#mustKeep = onFailure === 'refuse'
    this.event({ event: 'start', process: process.pid })
  }

  /** Records that were written, and that could not be. */
  get counts(): { readonly records: number; readonly unwritten: number } {
    const { records, unwritten } = this.#log
    return { records, unwritten }
  }

  /** Whether records can be written; after a failure this tries, as nobody asks a server that is not ready. */
  isHealthy(): boolean {
    if (!this.#log.isHealthy) {
      this.#log.retry()
      this.#say()
    }
    return this.#log.isHealthy
  }

  record(request: KeyRequest, { outcome, reason }: AuditVerdict): AuditBatch {
    const batch = this.#log.record({
      client: this.#clientOf(request.client),
      clientIp: request.clientIp,
      ski: request.skiHex,
      operation: request.opcodeName,
      serverName: request.serverName,
      requestId: request.saidRequestId,
      isScoped: request.isScoped,
      outcome,
      reason,
    })
    return this.#mustKeep ? batch : KEPT
  }

  commit(): void {
    this.#log.commit()
    if (this.#isFailing || !this.#log.isHealthy) this.#say()
  }

  event(event: AuditEvent): void {
    this.#log.recordEvent(event)
    this.commit()
  }

  [Symbol.dispose](): void {
    this.event({ event: 'stop' })
    this.#log.close()
  }

  #clientOf(client: Client): AuditedClient {
    const known = this.#clients.get(client)
    if (known !== undefined) return known
    const { names, serial, peer, chain } = client
    const certificate = (chain[0]?.fingerprint256 ?? '').replaceAll(':', '').toLowerCase()
    const made = new AuditedClient({ names, serial, certificate, peer })
    this.#clients.set(client, made)
    return made
  }

  #say(): void {
    const { failure } = this.#log
    const wasFailing = this.#isFailing
    this.#isFailing = failure !== undefined
    if (failure === undefined) {
      if (wasFailing) this.#logger.info('audit: records are written again')
      return
    }
    const now = this.#now()
    if (wasFailing && now - this.#saidAt < SAY_AGAIN_MS) return
    this.#saidAt = now
    if (this.#log.canWrite) {
      this.#logger.critical(`audit: the next file cannot be made, records go on in the last one: ${failure}`)
      return
    }
    const consequence = this.#mustKeep ? 'key operations are refused' : 'key operations go on unrecorded'
    this.#logger.critical(`audit: records cannot be written, ${consequence}: ${failure}`)
  }
}

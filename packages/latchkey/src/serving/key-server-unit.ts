// One process's share of a key server: its keys, its connections, its counts. The whole of it where there is one process.
import type { AddressInfo } from 'node:net'
import type { Logger, MetricSnapshot } from '@latchkey/core'
import { type KeyStores, openKeyStores, type ReloadSummary, type Share } from '@latchkey/keys'
import { createKeyServer, type KeyServer } from '@latchkey/keyserver'
import type { KeyServerConfig } from '../config/key-server-config.ts'
import type { ReadinessCondition } from '../process/status-server.ts'
import { auditKeyServer, type KeyServerAudit } from './key-server-audit.ts'
import { KeyServerRules } from './key-server-rules.ts'
import { type KeyServerMonitoring, monitorKeyServer } from './key-server-status.ts'
import { type KeyServerTracing, traceKeyServer } from './key-server-tracing.ts'

export interface UnitStatus {
  readonly processId: number
  readonly metrics: readonly MetricSnapshot[]
  readonly conditions: readonly ReadinessCondition[]
  readonly keyCount: number
}

/** A reload of which all has been loaded and nothing is in use yet. Disposing it forgets it. */
export interface PreparedUnit extends Disposable {
  /** Puts all of it in place, between two requests. */
  commit(): ReloadSummary
}

export interface KeyServerUnitOptions {
  readonly config: KeyServerConfig
  readonly logger: Logger
  /** For what is the same in each process and need be said by one only. Default: `logger`. */
  readonly loadLogger?: Logger
  /** Which of the processes with the same keys this is. */
  readonly share?: Share
  /** Processes that serve beside each other, this one included. Default: 1. */
  readonly processes?: number
  /** Which of the processes of a key server this is, from 0. Default: 0. */
  readonly index?: number
}

interface Parts {
  readonly keyStore: KeyStores
  readonly rules: KeyServerRules
  readonly server: KeyServer
  readonly monitoring: KeyServerMonitoring
  readonly tracing: KeyServerTracing | undefined
  readonly audit: KeyServerAudit | undefined
}

export class KeyServerUnit implements AsyncDisposable {
  readonly #keyStore: KeyStores
  readonly #rules: KeyServerRules
  readonly #server: KeyServer
  readonly #monitoring: KeyServerMonitoring
  readonly #tracing: KeyServerTracing | undefined
  readonly #audit: KeyServerAudit | undefined

  private constructor({ keyStore, rules, server, monitoring, tracing, audit }: Parts) {
    this.#keyStore = keyStore
    this.#rules = rules
    this.#server = server
    this.#monitoring = monitoring
    this.#tracing = tracing
    this.#audit = audit
  }

  /** @throws what the keys and certificates throw. */
  static async open(options: KeyServerUnitOptions): Promise<KeyServerUnit> {
    const { config, logger, loadLogger = logger, share, processes = 1, index = 0 } = options
    await using stack = new AsyncDisposableStack()
    const audit = stack.use(auditKeyServer(config.audit, { index, logger, now: Date.now }))
    let loaded: KeyStores | undefined
    const monitoring = stack.use(monitorKeyServer(config, () => loaded, audit))
    const loading = { logger: loadLogger, share, processes, observer: monitoring.homes }
    const keyStore = stack.use(await openKeyStores(config.stores, loading))
    loaded = keyStore
    const tracing = stack.use(await traceKeyServer(config.tracing, loadLogger))
    const rules = new KeyServerRules(config, { logger: loadLogger, processes })
    rules.report(keyStore.list())
    const server = stack.use(
      createKeyServer({
        ...config.tls,
        ...rules.hooks,
        keyStore,
        logger,
        limits: config.limits,
        signRetries: config.signRetries,
        now: () => new Date(config.now()),
        observer: monitoring.metrics,
        tracer: tracing?.requests,
        audit,
      }),
    )
    monitoring.watch(server)
    stack.move()
    return new KeyServerUnit({ keyStore, rules, server, monitoring, tracing, audit })
  }

  /** @throws {KeyServerError} ERR_KEYSERVER_LISTEN */
  async listen({ listen, listenSocket }: KeyServerConfig): Promise<AddressInfo> {
    const address = await this.#server.listen(listen)
    if (listenSocket !== undefined) await this.#server.listenOn(listenSocket)
    this.#monitoring.metrics.listens(address)
    return address
  }

  status(): UnitStatus {
    return { ...this.#monitoring.status(), keyCount: this.#keyStore.size, processId: process.pid }
  }

  /** Loads everything `next` names. @throws what the keys throw; nothing has changed then. */
  async prepareReload(next: KeyServerConfig): Promise<PreparedUnit> {
    const putRules = this.#rules.prepare(next)
    const keys = await this.#keyStore.prepareReload()
    return {
      commit: () => {
        this.#server.reload(next.tls) // throws before it changes anything
        const summary = keys.commit()
        putRules()
        this.#rules.report(this.#keyStore.list())
        this.#monitoring.certificatesLoaded(next)
        this.#audit?.event({ event: 'reload', ...summary })
        return summary
      },
      [Symbol.dispose]: () => keys[Symbol.dispose](),
    }
  }

  /** Answers what has come, and closes. */
  close(): Promise<void> {
    return this.#server.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]()
    await this.#tracing?.[Symbol.asyncDispose]()
    this.#monitoring[Symbol.dispose]()
    this.#audit?.[Symbol.dispose]()
    await this.#keyStore[Symbol.asyncDispose]()
  }
}

// What monitoring sees of a key server process: its metrics, and whether it can do its work.
import { MetricRegistry, type MetricSnapshot } from '@latchkey/core'
import type { DriverObserver, KeyHomeHealth, KeyStores } from '@latchkey/keys'
import { type KeyServer, KeyServerMetrics } from '@latchkey/keyserver'
import type { KeyServerConfig } from '../config/key-server-config.ts'
import { observeProcess } from '../process/process-metrics.ts'
import type { ReadinessCondition } from '../process/status-server.ts'
import type { KeyServerAudit } from './key-server-audit.ts'
import { KeyHomeMetrics } from './key-home-metrics.ts'

export interface KeyServerMonitoring extends Disposable {
  readonly metrics: KeyServerMetrics
  /** For the drivers to tell. */
  readonly homes: DriverObserver
  status(): {
    readonly metrics: readonly MetricSnapshot[]
    readonly conditions: readonly ReadinessCondition[]
  }
  /** From now on `server` is what is told about. */
  watch(server: KeyServer): void
  /** The certificates of these files are in use now. */
  certificatesLoaded(config: Pick<KeyServerConfig, 'files' | 'tls'>): void
}

/** @param keys those that are in use; undefined while they are loaded. */
export function monitorKeyServer(
  config: KeyServerConfig,
  keys: () => Pick<KeyStores, 'size' | 'health'> | undefined,
  audit?: KeyServerAudit,
): KeyServerMonitoring {
  const registry = new MetricRegistry()
  const metrics = new KeyServerMetrics(registry)
  const process = observeProcess(registry)
  const homes = new KeyHomeMetrics(registry, () => keys()?.health() ?? [])
  const keyCount = (): number => keys()?.size ?? 0
  const loaded = registry.number('latchkey_keys_loaded', {
    help: 'Private keys that can be used.',
    merge: 'max',
  })
  registry.beforeSnapshot(() => loaded(keyCount()))
  if (audit !== undefined) countRecords(audit, registry)
  const refused = registry.counter('latchkey_metric_series_refused_total', {
    help: 'Label sets that were asked for beyond the limit of a metric and are not shown.',
  })
  registry.beforeSnapshot(() => refused.setTotal(refused.series(), registry.refusedSeries))
  const certificatesLoaded = ({ files, tls }: Pick<KeyServerConfig, 'files' | 'tls'>): void => {
    metrics.certificates.setFile(files.cert, tls.cert)
    metrics.certificates.setFile(files.ca, tls.ca)
  }
  certificatesLoaded(config)
  let watched: KeyServer | undefined
  return {
    metrics,
    homes,
    certificatesLoaded,
    watch: (server) => {
      watched = server
      metrics.watch(server)
    },
    status: () => {
      const { isListening = false, isClosing = false, isCertificateValid = false } = watched?.status() ?? {}
      const conditions = [
        { name: 'keys', isMet: keyCount() > 0 },
        ...homeConditions(keys()?.health() ?? []),
        { name: 'certificate', isMet: isCertificateValid },
        { name: 'listening', isMet: isListening },
        { name: 'not_draining', isMet: !isClosing },
        ...(audit === undefined ? [] : [{ name: 'audit', isMet: audit.isHealthy() }]),
      ]
      return { metrics: registry.snapshot(), conditions }
    },
    [Symbol.dispose]: () => process[Symbol.dispose](),
  }
}

/** Ready is who can sign with some of them: the others may be at a home that no key server can reach now. */
function homeConditions(homes: readonly KeyHomeHealth[]): ReadinessCondition[] {
  return homes.length === 0 ? [] : [{ name: 'key_homes', isMet: homes.some(({ state }) => state !== 'down') }]
}

function countRecords(audit: KeyServerAudit, registry: MetricRegistry): void {
  const records = registry.counter('latchkey_audit_records_total', {
    help: 'Records that were written to the audit log.',
  })
  const unwritten = registry.counter('latchkey_audit_unwritten_total', {
    help: 'Records that could not be written to the audit log.',
  })
  registry.beforeSnapshot(() => {
    records.setTotal(records.series(), audit.counts.records)
    unwritten.setTotal(unwritten.series(), audit.counts.unwritten)
  })
}

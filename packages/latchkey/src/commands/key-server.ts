// `latchkey keyserver`: a key server from its configuration to its last connection.
import { hostAndPort, MetricRegistry, renderMetrics } from '@latchkey/core'
import { blockingCalls } from '@latchkey/keys'
import { type KeyServerConfig, loadKeyServerConfig } from '../config/key-server-config.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import { untilAskedToEnd } from '../process/lifecycle.ts'
import { logTo } from '../process/log-output.ts'
import { writePidFile } from '../process/pid-file.ts'
import { observeProcess } from '../process/process-metrics.ts'
import { connectServiceManager, watchdogMs } from '../process/service-manager.ts'
import { removeStaleSocket } from '../process/stale-socket.ts'
import { serveStatus } from '../process/status-server.ts'
import { type KeyServerService, mergeConditions } from '../serving/key-server-service.ts'
import { serveHere } from '../serving/serve-here.ts'
import { serveInWorkers } from '../serving/serve-in-workers.ts'
import { ensureCertificate, renewCertificate } from './key-server-enrolment.ts'
import type { Console } from '../process/console.ts'
import type { KeyServerCommand } from './key-server-command.ts'

/** Resolves when the key server has been asked to end and has. @throws what the configuration, keys or listening throw. */
export async function runKeyServer(command: KeyServerCommand, { cwd, env, err }: Console): Promise<ExitCode> {
  const { logFormat, ...given } = command
  const sources = { ...given, cwd, env }
  await ensureCertificate(sources, (level) => logTo(err, logFormat, level))
  const config = loadKeyServerConfig(sources)
  const logger = logTo(err, logFormat, config.logLevel)
  logger.info(
    config.file === undefined
      ? 'no configuration file: defaults, environment and flags'
      : `configuration: ${config.file}`,
  )
  for (const warning of config.warnings) logger.warning(warning)

  await using serviceManager = connectServiceManager({ env, logger })
  const registry = new MetricRegistry()
  const reloads = registry.counter('latchkey_reloads_total', {
    help: 'Reloads of keys, certificates and CAs.',
    labelNames: ['result'],
  })
  const reloaded = reloads.series('ok')
  const notReloaded = reloads.series('failed')
  const { workers, listenSocket } = config
  const threads = blockingCalls(config.stores, workers)
  // The number of threads in a process is settled before its first line runs.
  const isServedHere = workers === 1 && threads === 0
  using _observed = isServedHere ? undefined : observeProcess(registry)
  let service: KeyServerService | undefined
  const started = Promise.withResolvers<KeyServerService>()
  const reloading = oneAtATime()
  let keyCount = 0
  const reload = async (): Promise<void> => {
    const running = await started.promise
    const next = loadKeyServerConfig(sources)
    for (const warning of next.warnings) logger.warning(warning)
    const { added, removed, kept } = await reloading(() => running.reload(next))
    keyCount = added + kept
    logger.info(
      `SIGHUP: keys: ${added} added, ${removed} removed, ${kept} kept; certificates and CA loaded again`,
    )
    if (isOtherwiseChanged(config, next)) {
      logger.warning(
        'SIGHUP: listen_*, port, metrics_*, tracing_*, audit_*, sign_*, loglevel, pid_file, workers and the list of stores take effect with the next start',
      )
    }
  }
  // From here on no signal ends the process halfway; one that comes during the start is heeded after it.
  const askedToEnd = untilAskedToEnd({
    logger,
    reload: () =>
      serviceManager.reloading(async () => {
        try {
          await reload()
          reloads.add(reloaded)
        } catch (error) {
          reloads.add(notReloaded)
          throw error
        }
      }),
  })
  let isEnding = false
  await using _status = await serveStatus({
    ...config.metrics,
    logger,
    metrics: async () => {
      const snapshots = (await service?.snapshots()) ?? []
      return renderMetrics([registry.snapshot(), ...snapshots], { totalTwins: config.metrics.totalTwins })
    },
    readiness: async () => mergeConditions((await service?.statuses()) ?? [], isEnding),
  })
  if (listenSocket !== undefined) await removeStaleSocket(listenSocket)
  const running = isServedHere
    ? await serveHere({ config, logger })
    : await serveInWorkers({
        command,
        cwd,
        workers,
        listenSocket,
        blockingCalls: threads,
        stuckMs: watchdogMs(env),
        logger,
      })
  service = running
  // Not before the port is ours: a second key server that cannot start must not take the file from the first.
  using _pidFile = writePidFile(config.pidFile)
  const [first] = await running.statuses()
  keyCount = first?.keyCount ?? 0
  started.resolve(running)
  await using renewal = renewCertificate(
    sources,
    async () => void (await reloading(() => running.reload(loadKeyServerConfig(sources)))),
    logger,
  )
  if (!config.isAddressSaid) {
    logger.info("reachable from this machine only: set listen_address to '::' to serve all addresses")
  }
  const { address } = running
  serviceManager.ready(() => `keys: ${keyCount}; listening at ${hostAndPort(address.address, address.port)}`)
  await askedToEnd
  isEnding = true
  serviceManager.stopping('finishing what is under way')
  await renewal?.stop()
  await running.close()
  logger.info('ended')
  return EXIT.ok
}

/** A reload by signal and one by renewal wait for each other. */
function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const next = last.then(work, work)
    last = next
    return next
  }
}

function isOtherwiseChanged(before: KeyServerConfig, after: KeyServerConfig): boolean {
  const fixed = (config: KeyServerConfig): string => {
    const {
      listen,
      listenSocket,
      metrics,
      tracing,
      audit,
      logLevel,
      pidFile,
      stores,
      workers,
      limits,
      signRetries,
    } = config
    const others = [listenSocket, logLevel, pidFile, stores, workers, limits, signRetries]
    return JSON.stringify([listen, metrics, tracing ?? 'off', audit ?? 'off', ...others])
  }
  return fixed(before) !== fixed(after)
}

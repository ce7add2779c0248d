// `latchkey keyserver`: a key server from its configuration to its last connection.
import { openFileStore } from '@latchkey/keys'
import { createKeyServer } from '@latchkey/keyserver'
import {
  type KeyServerConfig,
  type KeyServerSources,
  loadKeyServerConfig,
} from '../config/key-server-config.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import { hostAndPort } from '../process/host-and-port.ts'
import { untilAskedToEnd } from '../process/lifecycle.ts'
import { type LogFormat, logTo } from '../process/log-output.ts'
import { writePidFile } from '../process/pid-file.ts'
import { connectServiceManager } from '../process/service-manager.ts'
import { serveStatus } from '../process/status-server.ts'
import { monitorKeyServer } from './key-server-status.ts'
import type { Console } from '../process/console.ts'

export interface KeyServerCommand extends Omit<KeyServerSources, 'cwd' | 'now' | 'env'> {
  readonly logFormat: LogFormat
}

/** Resolves when the key server has been asked to end and has. @throws what the configuration, keys or listening throw. */
export async function runKeyServer(
  { logFormat, ...given }: KeyServerCommand,
  { cwd, env, err }: Console,
): Promise<ExitCode> {
  const sources = { ...given, cwd, env }
  const config = loadKeyServerConfig(sources)
  const logger = logTo(err, logFormat, config.logLevel)
  logger.info(
    config.file === undefined
      ? 'no configuration file: defaults, environment and flags'
      : `configuration: ${config.file}`,
  )
  for (const warning of config.warnings) logger.warning(warning)

  await using serviceManager = connectServiceManager({ env, logger })
  await using keyStore = await openFileStore(config.stores, { logger })
  using _pidFile = writePidFile(config.pidFile)
  using monitoring = monitorKeyServer(config, () => keyStore.size)
  await using server = createKeyServer({ ...config.tls, keyStore, logger, observer: monitoring.metrics })
  monitoring.watch(server)
  await using _status = await serveStatus({
    ...config.metrics,
    logger,
    metrics: () => monitoring.render(),
    readiness: () => monitoring.readiness(),
  })
  const askedToEnd = untilAskedToEnd({
    logger,
    reload: () =>
      serviceManager.reloading(() =>
        monitoring.counted(async () => {
          const next = loadKeyServerConfig(sources)
          for (const warning of next.warnings) logger.warning(warning)
          const { added, removed, kept } = await keyStore.reload()
          server.reload(next.tls)
          monitoring.certificatesLoaded(next)
          logger.info(
            `SIGHUP: keys: ${added} added, ${removed} removed, ${kept} kept; certificates and CA loaded again`,
          )
          if (isOtherwiseChanged(config, next)) {
            logger.warning(
              'SIGHUP: listen_address, port, metrics_*, loglevel, pid_file and the list of stores take effect with the next start',
            )
          }
        }),
      ),
  })
  const address = await server.listen(config.listen)
  monitoring.metrics.listens(address)
  if (!config.isAddressSaid) {
    logger.info("reachable from this machine only: set listen_address to '::' to serve all addresses")
  }
  serviceManager.ready(
    () => `keys: ${keyStore.size}; listening at ${hostAndPort(address.address, address.port)}`,
  )
  await askedToEnd
  serviceManager.stopping('finishing what is under way')
  await server.close()
  logger.info('ended')
  return EXIT.ok
}

function isOtherwiseChanged(before: KeyServerConfig, after: KeyServerConfig): boolean {
  const fixed = ({ listen, metrics, logLevel, pidFile, stores }: KeyServerConfig): string =>
    JSON.stringify([listen, metrics, logLevel, pidFile, stores])
  return fixed(before) !== fixed(after)
}

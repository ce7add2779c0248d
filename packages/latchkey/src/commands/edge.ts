// `latchkey edge`: an edge from its configuration file to its last connection.
import type { AddressInfo } from 'node:net'
import { isIPv6 } from 'node:net'
import { createEdge } from '@latchkey/edge'
import { type EdgeSources, loadEdgeConfig } from '../config/edge-config.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import { untilAskedToEnd } from '../process/lifecycle.ts'
import { type LogFormat, logTo } from '../process/log-output.ts'
import type { Console } from '../process/console.ts'

export interface EdgeCommand extends Omit<EdgeSources, 'cwd' | 'now'> {
  readonly logFormat: LogFormat
}

/** Resolves when the edge has been asked to end and has. @throws {ConfigError} and whatever listening throws. */
export async function runEdge({ logFormat, ...given }: EdgeCommand, console: Console): Promise<ExitCode> {
  const sources = { ...given, cwd: console.cwd }
  const config = loadEdgeConfig(sources)
  const logger = logTo(console.err, logFormat, config.logLevel)
  logger.info(`configuration: ${config.file}`)
  for (const warning of config.warnings) logger.warning(warning)

  const edge = createEdge({ ...config, logger })
  const askedToEnd = untilAskedToEnd({
    logger,
    reload: async () => {
      const next = loadEdgeConfig(sources)
      for (const warning of next.warnings) logger.warning(warning)
      await edge.reconfigure(next.hosts)
      logger.info(`SIGHUP: hosts, certificates, key servers and origins of ${next.file} are in use`)
      if (isOtherwiseChanged(config, next)) {
        logger.warning(
          'SIGHUP: listen_address, port, loglevel and key_server_tls take effect with the next start',
        )
      }
    },
  })
  try {
    const address = await edge.listen()
    const names = config.hosts.flatMap(({ serverNames }) => serverNames).join(', ')
    logger.info(`Listening at https://${hostAndPort(address)} for ${names}`, { port: address.port })
    await askedToEnd
  } finally {
    await edge.close()
  }
  logger.info('ended')
  return EXIT.ok
}

type Config = ReturnType<typeof loadEdgeConfig>

function isOtherwiseChanged(before: Config, after: Config): boolean {
  const fixed = ({ listen, logLevel, keyServerTls }: Config): string =>
    JSON.stringify([listen, logLevel, keyServerTls])
  return fixed(before) !== fixed(after)
}

function hostAndPort({ address, port }: AddressInfo): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`
}

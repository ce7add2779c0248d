// `latchkey edge`: an edge from its configuration file to its last connection.
import { hostAndPort } from '@latchkey/core'
import { createEdge } from '@latchkey/edge'
import { useOpenSslPrimitives, warmUp } from '@latchkey/tls'
import { type EdgeConfig, type EdgeSources, loadEdgeConfig } from '../config/edge-config.ts'
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

  logger.info(`crypto: ${startCrypto(config.crypto)}`)
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
          'SIGHUP: listen_address, port, loglevel, crypto and key_server_tls take effect with the next start',
        )
      }
    },
  })
  try {
    if (config.warmUp) {
      const { handshakes, ms } = await warmUp(WARM_UP)
      logger.info(`warmed up with ${handshakes} handshakes in ${ms.toFixed(0)} ms`)
    }
    const address = await edge.listen()
    const names = config.hosts.flatMap(({ serverNames }) => serverNames).join(', ')
    logger.info(`Listening at https://${hostAndPort(address.address, address.port)} for ${names}`, {
      port: address.port,
    })
    await askedToEnd
  } finally {
    await edge.close()
  }
  logger.info('ended')
  return EXIT.ok
}

/** Most of what there is to gain: half a second here, and the first clients wait a third less. */
const WARM_UP = { handshakes: 400, timeoutMs: 1500 } as const

/** Says what it chose. */
function startCrypto(wanted: EdgeConfig['crypto']): string {
  if (wanted === 'node') return 'node:crypto'
  return useOpenSslPrimitives()
    ? 'OpenSSL of this Node through node:ffi, which agrees with node:crypto'
    : 'node:crypto; this Node has no node:ffi that agrees with it, which would be faster'
}

function isOtherwiseChanged(before: EdgeConfig, after: EdgeConfig): boolean {
  const fixed = ({ listen, logLevel, crypto, keyServerTls }: EdgeConfig): string =>
    JSON.stringify([listen, logLevel, crypto, keyServerTls])
  return fixed(before) !== fixed(after)
}

// `latchkey keyserver --keystore-debug`: loads the key stores, tells every step and SKI in log lines, and ends.
import { openKeyStores } from '@latchkey/keys'
import { loadKeyServerStores } from '../config/key-server-config.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import { logTo } from '../process/log-output.ts'
import type { Console } from '../process/console.ts'
import type { KeyServerCommand } from './key-server-command.ts'

/** @throws what the configuration and the keys throw; certificates are not looked at. */
export async function debugKeyStores(
  { logFormat, ...given }: KeyServerCommand,
  { cwd, env, err }: Console,
): Promise<ExitCode> {
  const logger = logTo(err, logFormat, 'debug')
  await using keyStore = await openKeyStores(loadKeyServerStores({ ...given, cwd, env }), { logger })
  logger.info(`${keyStore.size} ${keyStore.size === 1 ? 'key' : 'keys'} loaded`)
  return EXIT.ok
}

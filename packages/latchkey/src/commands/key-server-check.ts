// `latchkey keyserver check`: all that a start would load and refuse, without a port, a pid file or a wait.
import { X509Certificate } from 'node:crypto'
import { openKeyStores, type PrivateKey } from '@latchkey/keys'
import { createKeyServer } from '@latchkey/keyserver'
import { loadEnrolmentConfig } from '../config/enrolment-config.ts'
import { type KeyServerConfig, loadKeyServerConfig } from '../config/key-server-config.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import { logTo } from '../process/log-output.ts'
import type { Console } from '../process/console.ts'
import { KeyServerRules } from '../serving/key-server-rules.ts'
import type { KeyServerCommand } from './key-server-command.ts'

/** Prints what would be served. @throws what the configuration and the keys throw: the same errors as at a start. */
export async function checkKeyServer(
  { logFormat, ...given }: KeyServerCommand,
  { cwd, env, out, err }: Console,
): Promise<ExitCode> {
  const sources = { ...given, cwd, env }
  const config = loadKeyServerConfig(sources)
  const logger = logTo(err, logFormat, 'warning')
  const warnings = [...loadEnrolmentConfig(sources).warnings, ...config.warnings]
  for (const warning of warnings) logger.warning(warning)
  await using keyStore = await openKeyStores(config.stores, { logger })
  const rules = new KeyServerRules(config, { logger, processes: config.workers })
  rules.report(keyStore.list())
  // Made and never told to listen: it reads the certificate and the CAs as it would for clients.
  await using _server = createKeyServer({
    ...config.tls,
    ...rules.hooks,
    keyStore,
    logger,
    now: () => new Date(config.now()),
  })
  const { validToDate, subject } = new X509Certificate(config.tls.cert)
  const keys = [...keyStore.list()].map(keyLine).toSorted()
  const { host, port } = config.listen
  const lines = [
    `configuration  ${config.file ?? 'no file: defaults, environment and flags'}`,
    `address        ${host} port ${port} (not opened)`,
    `certificate    ${subject?.replaceAll('\n', ', ') ?? 'no subject'}, until ${validToDate.toISOString().slice(0, 10)}`,
    `keys           ${keys.length}`,
    ...keys,
    `policy         ${policyLine(config)}`,
    'The key server can start.',
  ]
  out(`${lines.join('\n')}\n`)
  return EXIT.ok
}

function policyLine({ policy }: KeyServerConfig): string {
  if (policy === undefined) return 'none: every client may use every key'
  const { length } = policy.rules
  return length === 0 ? 'denies everything' : `${length} ${length === 1 ? 'rule' : 'rules'}`
}

function keyLine({ ski, keyType, publicKey, source }: PrivateKey): string {
  const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {}
  const size = modulusLength ?? namedCurve
  return `  ${Buffer.from(ski).toString('hex')}  ${size === undefined ? keyType : `${keyType} ${size}`}  ${source}`
}

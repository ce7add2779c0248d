// The key server's own certificate: there before it serves, and renewed while it does.
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Logger } from '@latchkey/core'
import {
  enrol,
  type Enrolled,
  EnrolmentError,
  type EnrolOptions,
  recoverPair,
  type Renewal,
  startRenewal,
} from '@latchkey/enrolment'
import { type EnrolmentConfig, loadEnrolmentConfig } from '../config/enrolment-config.ts'
import type { KeyServerSources } from '../config/key-server-config.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import { logTo } from '../process/log-output.ts'
import { openPrompt } from '../process/prompt.ts'
import type { Console } from '../process/console.ts'
import type { KeyServerCommand } from './key-server-command.ts'

/**
 * Sees to it that there is a certificate that can be used: enrols for one if there is none and the settings allow it.
 *
 * @throws {ConfigError} what is wrong with the one that is there, and how to get another.
 * @throws {EnrolmentError}
 */
export async function ensureCertificate(
  sources: KeyServerSources,
  loggerOf: (level: EnrolmentConfig['logLevel']) => Logger,
): Promise<void> {
  const config = loadEnrolmentConfig(sources)
  const logger = loggerOf(config.logLevel)
  for (const warning of config.warnings) logger.warning(warning)
  recover(config, logger)
  try {
    config.checkPair()
  } catch (error) {
    const order = orderOf(config, sources)
    if (order === undefined) throw error
    logger.warning(`server certificate: ${(error as Error).message}`)
    await enrolAndSay(order, logger)
  }
}

/** Renews from now on, if the settings allow it. They are read anew each time, so that a token may be replaced. */
export function renewCertificate(
  sources: KeyServerSources,
  reload: () => Promise<void>,
  logger: Logger,
): Renewal | undefined {
  const config = loadEnrolmentConfig(sources)
  if (orderOf(config, sources) === undefined) return undefined
  const { now, files } = config
  return startRenewal({
    now,
    reload,
    logger,
    validity: () => {
      const { validFromDate, validToDate } = new X509Certificate(readFileSync(files.cert))
      return { notBefore: validFromDate.getTime(), notAfter: validToDate.getTime() }
    },
    enrol: async (signal) => {
      const order = orderOf(loadEnrolmentConfig(sources), sources)
      if (order === undefined) throw new Error('hostname, zone_id and api_token are no longer set')
      sayKept(await enrol({ ...order, signal }), logger)
    },
  })
}

/** `latchkey keyserver --config-only`: enrols, whatever is there, and asks for what is not set. */
export async function enrolOnly(
  { logFormat, ...given }: KeyServerCommand,
  { cwd, env, input, out, err }: Console,
): Promise<ExitCode> {
  let sources: KeyServerSources = { ...given, cwd, env }
  let config = loadEnrolmentConfig(sources)
  using prompt = openPrompt({ ...(input === undefined ? {} : { input }), err })
  const answers: { hostname?: string; zone_id?: string; api_token?: string } = {}
  if (config.hostname === undefined) {
    answers.hostname = await prompt.ask({ setting: 'hostname', text: 'Host name of this key server' })
  }
  if (config.zoneId === undefined) {
    answers.zone_id = await prompt.ask({ setting: 'zone_id', text: 'Zone id' })
  }
  if (config.credential === undefined) {
    const text = 'API token (Zone > SSL and Certificates > Edit)'
    answers.api_token = await prompt.ask({ setting: 'api_token', text, isSecret: true })
  }
  sources = { ...sources, flags: { ...sources.flags, ...answers } }
  config = loadEnrolmentConfig(sources)
  const logger = logTo(err, logFormat, config.logLevel)
  for (const warning of config.warnings) logger.warning(warning)
  recover(config, logger)
  await enrolAndSay(orderOf(config, sources) as EnrolOptions, logger) // all three were set or asked for
  out(`The certificate is in ${config.files.cert}, its key in ${config.files.key}.\n`)
  return EXIT.ok
}

async function enrolAndSay(order: EnrolOptions, logger: Logger): Promise<void> {
  logger.info(`enrolling ${order.hostname} at ${order.endpoint.host}`)
  const enrolled = await enrol(order)
  logger.info(`server certificate issued for ${order.hostname}`)
  sayKept(enrolled, logger)
}

function sayKept({ keptKey }: Enrolled, logger: Logger): void {
  if (keptKey !== undefined)
    logger.warning(`the key that was in auth_key, which no enrolment made, is ${keptKey} now`)
}

/** Undefined unless host name, zone and credential are all set. */
function orderOf(config: EnrolmentConfig, { env }: KeyServerSources): EnrolOptions | undefined {
  const { hostname, zoneId, credential, endpoint, files, now } = config
  if (hostname === undefined || zoneId === undefined || credential === undefined) return undefined
  return { hostname, zoneId, credential, endpoint, files, now, env }
}

/** What is left of an enrolment that was cut off; the old pair may do even if that fails. */
function recover({ files }: EnrolmentConfig, logger: Logger): void {
  try {
    const outcome = recoverPair(files)
    if (outcome !== 'nothing') logger.warning(`an enrolment had been cut off: its files were ${outcome}`)
  } catch (error) {
    if (!(error instanceof EnrolmentError)) throw error
    logger.warning(error.message)
  }
}

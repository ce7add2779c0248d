// `latchkey keyserver --manual-activation`: a key and a request for a certificate that somebody else has signed.
import { existsSync, readFileSync } from 'node:fs'
import { completeRequest, createCertificateRequest, isRequestOf, stageRequest } from '@latchkey/enrolment'
import { ConfigError } from '../config/config-error.ts'
import { loadEnrolmentConfig } from '../config/enrolment-config.ts'
import type { KeyServerSources } from '../config/key-server-config.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import { openPrompt } from '../process/prompt.ts'
import type { Console } from '../process/console.ts'
import type { KeyServerCommand } from './key-server-command.ts'

/**
 * Leaves a request and a key that belong together as they are; else writes both.
 *
 * @throws {ConfigError} also where a key that is in use would be replaced before its new certificate is there.
 */
export async function activateManually(
  { configFile, flags = {} }: KeyServerCommand,
  { cwd, env, input, out, err }: Console,
): Promise<ExitCode> {
  const sources: KeyServerSources = { configFile, flags, cwd, env }
  const config = loadEnrolmentConfig(sources)
  const { files } = config
  const next = `Have ${files.csr} signed and put the certificate into ${files.cert}.\n`
  if (existsSync(files.key) && existsSync(files.csr)) {
    const [privateKeyPem, csrPem] = [readFileSync(files.key, 'utf8'), readFileSync(files.csr, 'utf8')]
    if (await isRequestOf({ privateKeyPem, csrPem })) {
      out(`The request ${files.csr} and the key ${files.key} are there and belong together. ${next}`)
      return EXIT.ok
    }
  }
  if (isInUse(config.checkPair)) {
    throw new ConfigError('ERR_CONFIG_VALUE', {
      path: 'auth_key',
      found: `${files.key}, the key of a certificate that is valid`,
      expected: 'a new file: the certificate would be without its key',
      hint: 'add --auth-key and --auth-csr with names of new files, and change auth_key together with auth_cert',
    })
  }
  using prompt = openPrompt({ ...(input === undefined ? {} : { input }), err })
  const answer =
    config.hostname ?? (await prompt.ask({ setting: 'hostname', text: 'Host name of this key server' }))
  // By the same rule as a host name that was set.
  const { hostname = answer } = loadEnrolmentConfig({
    ...sources,
    flags: { ...flags, hostname: answer },
  })
  await stageRequest(files, await createCertificateRequest(hostname))
  await completeRequest(files)
  out(`Wrote the key ${files.key} and the request ${files.csr}. ${next}`)
  return EXIT.ok
}

function isInUse(checkPair: () => void): boolean {
  try {
    checkPair()
    return true
  } catch {
    return false
  }
}

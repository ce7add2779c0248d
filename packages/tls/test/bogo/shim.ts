// The conformance shim: what BoringSSL's runner talks to in place of BoringSSL. Its contract is ssl/test/PORTING.md
// there; README.md here says how to run it.
//
// Exit codes: 0 the connections went as the engine thinks they should, 1 they did not (why is on stderr), 89 the shim
// cannot do what it was asked for.
import { TlsError } from '@latchkey/tls'
import { callRunner, exchange, serve } from './connection.ts'
import { loadCredentials } from './credentials.ts'
import { checkSession } from './expectations.ts'
import { parseFlags, type Settings, Unimplemented } from './flags.ts'
import { Fleet, serverOptions } from './options.ts'

async function connect(settings: Settings, fleet: Fleet, isResumption: boolean): Promise<void> {
  const credentials = loadCredentials(settings)
  const options = serverOptions(settings, credentials, fleet)
  if (isResumption) fleet.waitSeconds(settings['-resumption-delay'] ?? 0)
  const socket = await callRunner(settings)
  await serve(socket, options, (stream) => {
    checkSession(stream, settings, credentials, isResumption)
    exchange(stream, settings)
  })
}

async function run(args: readonly string[]): Promise<void> {
  const { initial, resume } = parseFlags(args)
  if (initial['-server'] !== true) throw new Unimplemented('client')
  const fleet = new Fleet()
  await connect(initial, fleet, false)
  for (let count = 0; count < (initial['-resume-count'] ?? 0); count++) await connect(resume, fleet, true)
}

try {
  await run(process.argv.slice(2))
} catch (error) {
  const code = error instanceof TlsError ? `${error.code}: ` : ''
  process.stderr.write(`${code}${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(error instanceof Unimplemented ? 89 : 1)
}

// The command line: what may be said, its help, and which file does it. Commands are loaded only when they are run.
import { Argument, Command, CommanderError, Option } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { flagOf, KEY_SERVER_ROWS, type KeyServerSettingName } from './config/key-server-settings.ts'
import type { Console } from './process/console.ts'
import { EXIT, type ExitCode } from './process/exit-code.ts'
import { reportFatal } from './process/fatal.ts'
import { LOG_FORMATS, type LogFormat } from './process/log-output.ts'

const VERSION = `latchkey ${packageJson.version} (Node.js ${process.version})`

const EXAMPLES = `
Examples:
  latchkey demo                                  see it work in a minute, nothing to set up
  latchkey keyserver -c /etc/keyless/gokeyless.yaml
  latchkey edge -c latchkey-edge.yaml
  latchkey audit verify /var/log/latchkey/audit
  latchkey hsm test 'pkcs11:token=web?module-name=softhsm2&pin-source=pin'
  latchkey help edge

Exit codes: 0 done, 1 misconfigured or failed, 2 the command line is not understood.
`

const KEY_SERVER_HELP = `
Settings come from flags, then KEYLESS_… in the environment, then the file, then the defaults. Without -c the file is
gokeyless.yaml here, else /etc/keyless/gokeyless.yaml. Flags may be written with dashes or underscores.

Examples:
  latchkey keyserver -c gokeyless.yaml
  latchkey keyserver --private-key-dirs /etc/keyless/keys --listen-address ::
  KEYLESS_PORT=12407 latchkey keyserver --log-format json
  latchkey keyserver check -c gokeyless.yaml     would it start, and with which keys? opens no port

Signals: SIGHUP loads keys, certificates and policy again, SIGTERM finishes what is under way and ends.
`

const EDGE_HELP = `
Example of a configuration file:
  listen_address: 127.0.0.1
  port: 8443
  key_server_tls: { ca: keyserver-ca.pem, cert: edge.pem, key: edge-key.pem }
  hosts:
    - names: [www.example.com]
      certificates: [www.example.com.pem]
      key_servers: ['keys.example.com:2407']
      origin: http://127.0.0.1:8080

Examples:
  latchkey edge
  latchkey edge -c /etc/latchkey/edge.yaml --port 443 --listen-address ::

Signals: SIGHUP reads hosts and certificates again, SIGTERM finishes what is under way and ends.
`

const AUDIT_HELP = `
Reads the audit log of a key server (its setting audit_dir) and proves that no record was changed, removed, added or put
elsewhere, or names the first place of each chain where one was. That the end was cut off only a hash from before can
show: keep the head that is printed in another place, and give it with --expect-head.

Examples:
  latchkey audit verify /var/log/latchkey/audit
  latchkey audit verify audit-0.000007.log              one file, by itself
  latchkey audit verify /var/log/latchkey/audit --expect-head 5f70bf18…

Exit codes: 0 proven, 1 not proven or not readable.
`

const HSM_HELP = `
The URI is what the key server has in private_key_stores. Put it in quotes: it has characters that the shell would take.
"test" and "csr" take the names of keys in cloud services as well.

Examples:
  latchkey hsm list 'pkcs11:?module-name=softhsm2'
  latchkey hsm list 'pkcs11:token=web?module-name=softhsm2&pin-source=/etc/keyless/pin'
  latchkey hsm generate 'pkcs11:token=web;object=site?module-name=softhsm2&pin-source=pin' --algorithm ecdsa-p256
  latchkey hsm csr 'pkcs11:token=web;object=site?module-name=softhsm2&pin-source=pin' --name site.example > site.csr
  latchkey hsm test 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
`

const DEMO_HELP = `
Starts an origin, a key server and an edge as separate processes on 127.0.0.1, with certificates made for the purpose in
a temporary directory, fetches a page, shows that the edge has no private key, and stays up until Ctrl-C.

Examples:
  latchkey demo
  DEMO_ONCE=1 latchkey demo                      end after the proof
`

/** Runs one command line and resolves with its exit code, when all it started has ended. */
export async function run(args: readonly string[], console: Console): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.ok
  const program = createProgram(console, (code) => {
    exitCode = code
  })
  try {
    await program.parseAsync(args.map(dashedFlag), { from: 'user' })
    return exitCode
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    reportFatal(
      error,
      console.err,
      /--log-format[= ]json/.test(args.map(dashedFlag).join(' ')) ? 'json' : 'text',
    )
    return EXIT.failed
  }
}

function createProgram(console: Console, done: (code: ExitCode) => void): Command {
  const program = new Command('latchkey')
    .description('Serves HTTPS from machines that never hold the private key.')
    .version(VERSION, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .configureOutput({ writeOut: (text) => console.out(text), writeErr: (text) => console.err(text) })
    .showSuggestionAfterError()
    .showHelpAfterError('(latchkey --help lists commands and options)')
    .enablePositionalOptions()
  addKeyServer(program, console, done)
  addKeyServerWorker(program, console, done)
  addEdge(program, console, done)
  addAudit(program, console, done)
  addHsm(program, console, done)
  addDemo(program, console, done)
  return program
}

type Done = (code: ExitCode) => void

function logFormatOption(): Option {
  return new Option('--log-format <format>', 'log lines as text or json').choices(LOG_FORMATS).default('text')
}

function addKeyServer(program: Command, console: Console, done: Done): void {
  const command = program
    .command('keyserver')
    .summary('hold private keys and sign for edges; a drop-in for gokeyless')
    .description(
      'Holds private keys and signs with them for edges that prove who they are. A drop-in for gokeyless.',
    )
    .addArgument(
      new Argument('[check]', 'only check that it would start, and list its keys').choices(['check']),
    )
    .option('-c, --config-file <file>', 'configuration file')
    .option('-d, --keystore-debug', 'load the keys, tell their SKIs and every step in log lines, and end')
    .option(
      '-o, --output-config',
      'print what file, environment and flags come to, and end; secrets are left out',
    )
    .option('--show-secrets', 'with --output-config: secrets as well')
    .option('--config-only', 'enrol for a certificate, ask for what is not set, and end')
    .option('--manual-activation', 'write a key and a request for a certificate to have signed, and end')
    .version(VERSION, '-v, --version', 'show the version')
    .addOption(logFormatOption())
  for (const [name, { argument, help, short, only }] of KEY_SERVER_ROWS) {
    if (only === 'file') continue
    const flags = `${short === undefined ? '' : `-${short}, `}${flagOf(name)}${argument === undefined ? '' : ` <${argument}>`}`
    command.addOption(new Option(flags, help))
  }
  command.addHelpText('after', KEY_SERVER_HELP)
  command.action(async (check: 'check' | undefined, options: Record<string, string | boolean>) => {
    const flags: Partial<Record<KeyServerSettingName, string | boolean>> = {}
    for (const [name] of KEY_SERVER_ROWS) {
      const value = options[camelCase(name)]
      if (value !== undefined) flags[name] = value
    }
    const configFile = options['configFile'] as string | undefined
    if (options['outputConfig'] === true) {
      const { printKeyServerSettings } = await import('./commands/key-server-output-config.ts')
      const showSecrets = options['showSecrets'] === true
      done(printKeyServerSettings({ configFile, flags, showSecrets }, console))
      return
    }
    const given = { configFile, flags, logFormat: options['logFormat'] as LogFormat }
    if (options['configOnly'] === true) {
      const { enrolOnly } = await import('./commands/key-server-enrolment.ts')
      done(await enrolOnly(given, console))
    } else if (options['manualActivation'] === true) {
      const { activateManually } = await import('./commands/key-server-manual-activation.ts')
      done(await activateManually(given, console))
    } else if (options['keystoreDebug'] === true) {
      const { debugKeyStores } = await import('./commands/key-server-keystore-debug.ts')
      done(await debugKeyStores(given, console))
    } else if (check === undefined) {
      const { runKeyServer } = await import('./commands/key-server.ts')
      done(await runKeyServer(given, console))
    } else {
      const { checkKeyServer } = await import('./commands/key-server-check.ts')
      done(await checkKeyServer(given, console))
    }
  })
}

interface EdgeFlags {
  readonly configFile?: string
  readonly loglevel?: string
  readonly listenAddress?: string
  readonly port?: string
  readonly logFormat: LogFormat
}

/** For the supervising process, not for people. */
function addKeyServerWorker(program: Command, console: Console, done: Done): void {
  program
    .command('keyserver-worker', { hidden: true })
    .description('One of the processes of a key server; started by it.')
    .action(async () => {
      const { runKeyServerWorker } = await import('./serving/key-server-worker.ts')
      done(await runKeyServerWorker(console))
    })
}

function addEdge(program: Command, console: Console, done: Done): void {
  program
    .command('edge')
    .summary('serve HTTPS for your host names; the keys stay on key servers')
    .description(
      'Serves HTTPS for the host names of its configuration. It has certificates; the keys stay on key servers.',
    )
    .option('-c, --config-file <file>', 'configuration file (default latchkey-edge.yaml)')
    .option('-l, --loglevel <level>', 'debug, info, warning, error, critical (default info)')
    .option('--listen-address <address>', 'address to listen on (default 127.0.0.1; :: for all)')
    .option('--port <port>', 'port to listen on (default 8443; 0: any)')
    .addOption(logFormatOption())
    .addHelpText('after', EDGE_HELP)
    .action(async ({ configFile, loglevel, listenAddress, port, logFormat }: EdgeFlags) => {
      const flags = {
        ...(loglevel === undefined ? {} : { loglevel }),
        ...(listenAddress === undefined ? {} : { listen_address: listenAddress }),
        ...(port === undefined ? {} : { port }),
      }
      const { runEdge } = await import('./commands/edge.ts')
      done(await runEdge({ configFile, flags, logFormat }, console))
    })
}

function addAudit(program: Command, console: Console, done: Done): void {
  program
    .command('audit')
    .summary('prove the audit log of a key server')
    .description('Proves the audit log of a key server, or names what was changed.')
    .command('verify')
    .summary('prove audit logs, or name the first break')
    .description('Proves audit logs, or names the first break of each.')
    .argument('<path...>', 'directories, or files of one chain')
    .option('--expect-head <hash...>', 'hashes that were heads before: each must be in a chain')
    .addHelpText('after', AUDIT_HELP)
    .action(
      async (paths: readonly string[], { expectHead = [] }: { readonly expectHead?: readonly string[] }) => {
        const { verifyAuditLogs } = await import('./commands/audit-verify.ts')
        done(verifyAuditLogs({ paths, expectHeads: expectHead }, console))
      },
    )
}

/** As in `keys-pkcs11`, which is not loaded for a help text. */
const GENERATED = [
  'ecdsa-p256',
  'ecdsa-p384',
  'ecdsa-p521',
  'rsa-2048',
  'rsa-3072',
  'rsa-4096',
  'ed25519',
] as const

function addHsm(program: Command, console: Console, done: Done): void {
  const hsm = program
    .command('hsm')
    .summary('keys in HSMs and cloud services: list, test, generate, csr')
    .description('Looks at, tries and makes keys that are in HSMs, TPMs and cloud services.')
    .addHelpText('after', HSM_HELP)
  hsm
    .command('list')
    .description('Shows the tokens of a PKCS#11 module and, with a PIN, the private keys on them.')
    .argument('<uri>', 'a PKCS#11 URI; without a token: all tokens of the module')
    .action(async (uri: string) => {
      const { listHsm } = await import('./commands/hsm.ts')
      done(await listHsm({ uri }, console))
    })
  hsm
    .command('test')
    .description(
      'Signs with every key that the URI names, verifies the signatures and says how long they took.',
    )
    .argument('<uri>', 'as in private_key_stores')
    .action(async (uri: string) => {
      const { testHsm } = await import('./commands/hsm.ts')
      done(await testHsm({ uri }, console))
    })
  hsm
    .command('generate')
    .description('Makes a key pair on a token, never to leave it.')
    .argument('<uri>', 'a PKCS#11 URI with object=<label of the new key>')
    .addOption(new Option('--algorithm <name>', 'kind of key').choices(GENERATED).default('ecdsa-p256'))
    .action(async (uri: string, { algorithm }: { readonly algorithm: (typeof GENERATED)[number] }) => {
      const { generateHsm } = await import('./commands/hsm.ts')
      done(await generateHsm({ uri, algorithm }, console))
    })
  hsm
    .command('csr')
    .description('Prints a certification request (PKCS #10) that the key has signed.')
    .argument('<uri>', 'of one key, as in private_key_stores')
    .requiredOption('--name <name...>', 'host names of the certificate')
    .action(async (uri: string, { name }: { readonly name: readonly string[] }) => {
      const { requestHsm } = await import('./commands/hsm.ts')
      done(await requestHsm({ uri, names: name }, console))
    })
}

function addDemo(program: Command, console: Console, done: Done): void {
  program
    .command('demo')
    .summary('a key server, an edge and a site on this machine, to see it work')
    .description('Shows the whole thing on this machine.')
    .addHelpText('after', DEMO_HELP)
    .action(async () => {
      const { runDemo } = await import('./commands/demo.ts')
      done(await runDemo(console))
    })
  program
    .command('demo-origin', { hidden: true })
    .description('The origin of the demo: answers every request with a page about it.')
    .action(async () => {
      const { runDemoOrigin } = await import('./demo/origin.ts')
      done(await runDemoOrigin(console))
    })
}

/** `--auth_cert=x` as `--auth-cert=x`: gokeyless takes both. Values stay as they are. */
function dashedFlag(argument: string): string {
  const [, name, rest] = /^(--[a-z][a-z0-9_-]*)(.*)$/s.exec(argument) ?? []
  return name === undefined ? argument : name.replaceAll('_', '-') + rest
}

function camelCase(name: string): string {
  return name.replaceAll(/[-_]([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

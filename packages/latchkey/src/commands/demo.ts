// `latchkey demo`: the whole system on one machine, and the proof that the edge has no key.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { subjectKeyIdentifier } from '@latchkey/edge'
import { Child, ChildFailure } from '../demo/child.ts'
import { type Address, curlArguments, fetchPage } from '../demo/fetch-page.ts'
import { inventory } from '../demo/inventory.ts'
import { MemorySearchError, searchProcessMemory } from '../demo/memory-search.ts'
import { privateKeyNeedles } from '../demo/private-key-needles.ts'
import { buildStage, SITE_NAME, type Stage, writeEdgeConfig } from '../demo/stage.ts'
import { EXIT, type ExitCode } from '../process/exit-code.ts'
import { reportFatal } from '../process/fatal.ts'
import type { Console } from '../process/console.ts'

/** Runs until Ctrl-C, or with DEMO_ONCE=1 until the proof is shown. */
export async function runDemo(console: Console): Promise<ExitCode> {
  const asked = askedToEnd()
  await using stack = new AsyncDisposableStack()
  try {
    await Promise.race([show(console, stack, asked.signal), asked.promise])
    if (asked.signal.aborted) console.out('\nEnding: processes stopped, temporary files removed.\n')
    return EXIT.ok
  } catch (error) {
    if (error instanceof ChildFailure) {
      console.err(
        `latchkey: ${error.message}. The last lines:\n${error.lastLines.map((line) => `  ${line}\n`).join('')}`,
      )
    } else if (error instanceof ProofFailure) {
      console.err(`latchkey: ${error.message}\n`)
    } else {
      reportFatal(error, console.err)
    }
    return EXIT.failed
  } finally {
    asked[Symbol.dispose]()
  }
}

/** The demo ran, and what it showed is not what it should. */
class ProofFailure extends Error {}

interface Scene {
  readonly stage: Stage
  readonly keyServer: Child
  readonly edge: Child
  readonly address: Address
}

async function show(console: Console, stack: AsyncDisposableStack, signal: AbortSignal): Promise<void> {
  const scene = await start(console, stack, signal)
  await prove(console, scene, signal)
  if (console.env['DEMO_ONCE'] === '1') return
  console.out(tryIt(scene))
  const children = [scene.keyServer, scene.edge]
  const [name, end] = await Promise.race(
    children.map(async (child) => [child.name, await child.ended] as const),
  )
  signal.throwIfAborted()
  throw children.find((child) => child.name === name)?.failure(end) ?? new Error(end)
}

async function start(
  { out, env }: Console,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<Scene> {
  out('Making a certificate authority, certificates and keys for this demo …\n')
  const stage = await buildStage((remove) => atEnd(stack, remove))
  const run = (name: string, args: readonly string[], cwd: string): Child => {
    signal.throwIfAborted()
    const child = stack.use(new Child({ name, args, cwd, env: withoutSettings(env) }))
    process.once('exit', () => child.killNow())
    return child
  }

  out('Starting three processes: origin, key server, edge …\n')
  const origin = run('origin', ['demo-origin'], stage.folder)
  const keyServer = run('key server', ['keyserver', '--config-file', 'gokeyless.yaml'], stage.keyServerFolder)
  const originPort = await portOf(out, origin, /Listening at http:\/\/127\.0\.0\.1:(\d+)/)
  const keyServerPort = await portOf(out, keyServer, /Listening at tcp:\/\/127\.0\.0\.1:(\d+)/)
  writeEdgeConfig(stage, keyServerPort, originPort)
  const edge = run('edge', ['edge'], stage.edgeFolder)
  const edgePort = await portOf(out, edge, /Listening at https:\/\/127\.0\.0\.1:(\d+)/)
  out(`  origin      process ${origin.pid}  http://127.0.0.1:${originPort}\n`)
  out(
    `  key server  process ${keyServer.pid}  tcp://127.0.0.1:${keyServerPort}  has the key of ${SITE_NAME}\n`,
  )
  out(`  edge        process ${edge.pid}  https://127.0.0.1:${edgePort}  has its certificate only\n`)
  return { stage, keyServer, edge, address: { name: SITE_NAME, port: edgePort, caFile: stage.caFile } }
}

/** Whatever happens: when all is well in its turn, at the latest when the process exits. Twice is harmless. */
function atEnd(stack: AsyncDisposableStack, tidy: () => void): void {
  stack.defer(tidy)
  process.once('exit', tidy)
}

async function portOf(out: Console['out'], child: Child, pattern: RegExp): Promise<number> {
  return Number((await patiently(out, `the ${child.name} to listen`, child.line(pattern)))[1])
}

/** Nobody should have to wonder whether it hangs. */
const PATIENCE_MS = 2000

/** `work`, with a line for each two seconds that it takes. */
async function patiently<T>(out: Console['out'], what: string, work: Promise<T>): Promise<T> {
  const timer = setInterval(() => out(`  … still waiting for ${what}\n`), PATIENCE_MS)
  try {
    return await work
  } finally {
    clearInterval(timer)
  }
}

async function prove({ out }: Console, scene: Scene, signal: AbortSignal): Promise<void> {
  const { stage, keyServer, edge, address } = scene
  const privateKey = createPrivateKey(readFileSync(stage.siteKeyFile))
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const ski = Buffer.from(subjectKeyIdentifier(spki)).toString('hex')

  const page = await patiently(out, 'the page', fetchPage(address)).catch((error: Error) => {
    const { message, lastLines } = edge.failure(`did not serve the page: ${error.message}`)
    throw new ChildFailure(message, [...lastLines, ...keyServer.failure('').lastLines])
  })
  signal.throwIfAborted()
  const how =
    page.with === 'curl' ? 'curl' : "Node's https, as there is no curl here that tells what it negotiated"
  out(`\n1. A page through the edge, fetched with ${how}:\n${indented(page.body)}`)
  out(`   ${page.protocol}, ${page.cipher}\n`)

  await keyServer.line(new RegExp(ski), KEY_SERVER_LINE_MS)
  out('\n2. What the key server wrote about it:\n')
  out(indented(keyServer.lines.filter((line) => line.includes(ski)).join('\n')))

  out(`\n3. What the edge has on disk (${stage.edgeFolder}):\n`)
  for (const item of inventory(stage.edgeFolder, spki)) {
    if (item.isSiteKey) throw new ProofFailure(`${item.name} in the edge's folder is the key of the site`)
    const what =
      item.kind === 'private key'
        ? `private key of ${item.belongsTo}: with it the edge proves to the key server who it is`
        : item.kind === 'certificate'
          ? 'certificate, public'
          : 'its configuration: no key in it'
    out(`   ${item.name.padEnd(20)} ${what}\n`)
  }
  out(`   The private key of ${SITE_NAME} is not among them.\n`)

  out('\n4. What the processes have in memory:\n')
  await proveMemory(out, { privateKey, keyServer, edge })
}

/** The line is on its way while the page is: both left at the same time. */
const KEY_SERVER_LINE_MS = 5000

interface MemoryScene {
  readonly privateKey: ReturnType<typeof createPrivateKey>
  readonly keyServer: Child
  readonly edge: Child
}

async function proveMemory(out: Console['out'], { privateKey, keyServer, edge }: MemoryScene): Promise<void> {
  const needles = privateKeyNeedles(privateKey)
  try {
    const count = async (child: Child): Promise<number> =>
      (await searchProcessMemory(child.pid, needles)).reduce((sum, hits) => sum + hits, 0)
    const atKeyServer = await patiently(out, 'the search of the key server', count(keyServer))
    const atEdge = await patiently(out, 'the search of the edge', count(edge))
    out(
      `   key server  process ${keyServer.pid}  secret number of the key found ${times(atKeyServer)}  (so the search works)\n`,
    )
    out(`   edge        process ${edge.pid}  secret number of the key found ${times(atEdge)}\n`)
    if (atEdge > 0) throw new ProofFailure('the key of the site is in the memory of the edge')
    if (atKeyServer === 0)
      throw new ProofFailure('the key was not found in the key server either: the search shows nothing')
  } catch (error) {
    if (!(error instanceof MemorySearchError)) throw error
    out(`   not shown: ${error.message}\n`)
  } finally {
    for (const needle of needles) needle.fill(0)
  }
}

function times(count: number): string {
  return count === 1 ? '1 time' : `${count} times`
}

function tryIt({ address, stage }: Scene): string {
  const { name, port } = address
  return `
Try it (until Ctrl-C):
  curl ${curlArguments(address).map(shellWord).join(' ')}
  openssl s_client -brief -tls1_3 -connect 127.0.0.1:${port} -servername ${name} -CAfile ${stage.caFile}

There is no dashboard yet: it comes with the control plane.
`
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

function indented(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `   ${line}\n`)
    .join('')
}

/** Settings of a key server on this machine must not reach the one of the demo. */
function withoutSettings(env: Console['env']): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('KEYLESS_')))
}

interface Asked extends Disposable {
  /** Resolves on SIGINT, SIGTERM or SIGHUP. A second signal ends the process at once; children go with it. */
  readonly promise: Promise<void>
  readonly signal: AbortSignal
}

function askedToEnd(): Asked {
  const { promise, resolve } = Promise.withResolvers<void>()
  const controller = new AbortController()
  const end = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.failed)
    controller.abort()
    resolve()
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const name of signals) process.on(name, end)
  return {
    promise,
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const name of signals) process.removeListener(name, end)
    },
  }
}

// A TPM 2.0 of a test's own: swtpm is the chip, tpm2-pkcs11 the module. Its state outlives the process, as a chip's does.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isInstalled } from './command.ts'
import { PIN } from './softhsm.ts'

const START_MS = 10_000
/** Linux keeps a closed connection for a minute. */
const TIME_WAIT_MS = 70_000

export function tpmModule(): string | undefined {
  const folder = readdirSync('/usr/lib').find((name) => name.includes('-linux-'))
  const path = `/usr/lib/${folder ?? ''}/pkcs11/libtpm2_pkcs11.so`
  return isInstalled('swtpm') && isInstalled('pkcs11-tool') && existsSync(path) ? path : undefined
}

export class Tpm implements AsyncDisposable {
  readonly module: string
  readonly #folder: string
  #port = 0
  #process: ChildProcess | undefined

  private constructor(module: string) {
    this.module = module
    this.#folder = mkdtempSync(join(tmpdir(), 'latchkey-tpm-'))
    for (const name of ['state', 'store']) mkdirSync(join(this.#folder, name))
  }

  /** For processes that shall use it; another one after each {@link powerOn}. */
  get env(): Readonly<Record<string, string>> {
    return {
      TPM2_PKCS11_TCTI: `swtpm:host=127.0.0.1,port=${this.#port}`,
      TPM2_PKCS11_STORE: join(this.#folder, 'store'),
    }
  }

  /** A TPM with one token, `tpm`. */
  static async start(module: string): Promise<Tpm> {
    const tpm = new Tpm(module)
    await tpm.powerOn()
    tpm.#tool(['--init-token', '--slot-index', '0', '--label', 'tpm', '--so-pin', '5678'])
    tpm.#tool([
      '--token-label',
      'tpm',
      '--login',
      '--login-type',
      'so',
      '--so-pin',
      '5678',
      '--init-pin',
      '--pin',
      PIN,
    ])
    return tpm
  }

  generate(keyType: string, object: string, id: string): void {
    const key = ['--keypairgen', '--key-type', keyType, '--label', object, '--id', id]
    this.#tool(['--token-label', 'tpm', '--login', '--pin', PIN, ...key])
  }

  uri(object?: string, more = ''): string {
    const name = object === undefined ? '' : `;object=${object}`
    return `pkcs11:token=tpm${name}?module-path=${this.module}&pin-value=${PIN}${more}`
  }

  /**
   * At a port of its own: the last one may still be in TIME_WAIT, and swtpm does not reuse it.
   *
   * @param isSamePlace for modules in processes that are told of no other; that may take a minute.
   */
  async powerOn(isSamePlace = false): Promise<void> {
    const until = performance.now() + (isSamePlace ? TIME_WAIT_MS : 0)
    while (performance.now() < until) {
      if (await this.#startAt(this.#port)) return
      await delay(500)
    }
    for (let tries = 0; tries < 10; tries++) {
      this.#port = await freePort()
      if (await this.#startAt(this.#port)) return
    }
    throw new Error('swtpm did not start')
  }

  /** The module takes the port after it for the control channel. */
  async #startAt(port: number): Promise<boolean> {
    const at = (each: number): string => `type=tcp,bindaddr=127.0.0.1,port=${each}`
    const state = [
      '--tpmstate',
      `dir=${join(this.#folder, 'state')}`,
      '--flags',
      'not-need-init,startup-clear',
    ]
    const args = ['socket', '--tpm2', '--server', at(port), '--ctrl', at(port + 1), ...state]
    const child = spawn('swtpm', args, { stdio: 'ignore' })
    this.#process = child
    const until = performance.now() + START_MS
    while (performance.now() < until && child.exitCode === null) {
      if (await answers(port + 1)) return true
      await delay(20)
    }
    return false
  }

  /** As if the chip were gone. */
  async powerOff(): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerOff()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #tool(args: readonly string[]): void {
    execFileSync('pkcs11-tool', ['--module', this.module, ...args], {
      env: { ...process.env, ...this.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

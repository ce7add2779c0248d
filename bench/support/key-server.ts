// The daemon as an operator runs it, with a folder of keys, and clients that keep it busy.
import { spawn } from 'node:child_process'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { subjectKeyIdentifier } from '@latchkey/keys'
import { createThrowawayCa, type KeyAlgorithm } from '@latchkey/throwaway-pki'
import { Child } from '../../test/support/child.ts'
import type { KeylessLoad, KeylessMeasured } from '../processes/keyless-load.ts'

const COMMAND = fileURLToPath(new URL('../../packages/latchkey/bin/latchkey.js', import.meta.url))
const NODE_FLAGS = ['--max-semi-space-size=2', '--disable-warning=ExperimentalWarning']
const LOAD = new URL('../processes/keyless-load.ts', import.meta.url)
const START_MS = 60_000

/** The keys that benches ask for, by the kind of work. */
export const KEYS = {
  ecdsa: { algorithm: 'ecdsa-p256', opcode: 0x15, payload: new Uint8Array(32).fill(7) },
  rsa: { algorithm: 'rsa-2048', opcode: 0x05, payload: new Uint8Array(32).fill(7) },
  rsa4096: { algorithm: 'rsa-4096', opcode: 0x05, payload: new Uint8Array(32).fill(7) },
  ping: { algorithm: undefined, opcode: 0xf1, payload: new Uint8Array(0) },
} as const satisfies Record<
  string,
  { algorithm: KeyAlgorithm | undefined; opcode: number; payload: Uint8Array }
>
export type Work = keyof typeof KEYS

export interface KeyServerBench extends AsyncDisposable {
  readonly folder: string
  readonly pid: number
  readonly port: number
  /** PEM, of a client that is let in. */
  readonly identity: { readonly ca: string; readonly cert: string; readonly key: string }
  /** From the start of the process until its port answered. */
  readonly startMs: number
  /** A client process of its own; the same one for each of its loads. */
  client(): Promise<(work: Work, load: LoadShape) => Promise<KeylessMeasured>>
}
export type LoadShape = Pick<KeylessLoad, 'connections' | 'inFlight' | 'seconds'>

export interface KeyServerBenchOptions {
  /** More lines of the configuration file. */
  readonly settings?: string
  /** Called with the folder before the daemon starts. */
  readonly prepare?: (folder: string) => void
}

export async function startKeyServer({
  settings = '',
  prepare,
}: KeyServerBenchOptions = {}): Promise<KeyServerBench> {
  const stack = new AsyncDisposableStack()
  try {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-bench-'))
    stack.defer(() => rmSync(folder, { recursive: true }))
    mkdirSync(join(folder, 'keys'), { mode: 0o700 })
    const file = (name: string, text: string): void =>
      writeFileSync(join(folder, name), text, { mode: 0o600 })
    const ca = await createThrowawayCa({})
    const skis = new Map<Work, Uint8Array>()
    for (const [work, { algorithm }] of Object.entries(KEYS)) {
      if (algorithm === undefined) continue
      const { privateKeyPem } = await ca.issue({ dnsNames: ['bench.example'], keyAlgorithm: algorithm })
      file(join('keys', `${work}.key`), privateKeyPem)
      skis.set(work as Work, subjectKeyIdentifier(createPublicKey(createPrivateKey(privateKeyPem))))
    }
    const server = await ca.issue({ ipAddresses: ['127.0.0.1'], extendedKeyUsages: ['serverAuth'] })
    const edge = await ca.issue({ commonName: 'bench', extendedKeyUsages: ['clientAuth'] })
    file('keyless_cacert.pem', ca.certificatePem)
    file('server.pem', server.chainPem)
    file('server-key.pem', server.privateKeyPem)
    const port = await freePort()
    file(
      'gokeyless.yaml',
      `loglevel: 2\nlisten_address: 127.0.0.1\nport: ${port}\nmetrics_port: ${await freePort()}\nprivate_key_stores:\n- dir: keys\n${settings}`,
    )
    prepare?.(folder)

    const log = join(folder, 'log')
    const output = openSync(log, 'a')
    const started = performance.now()
    const daemon = spawn(process.execPath, [...NODE_FLAGS, COMMAND, 'keyserver'], {
      cwd: folder,
      stdio: ['ignore', output, output, 'ipc'],
    })
    closeSync(output)
    stack.defer(async () => {
      if (daemon.exitCode !== null || daemon.signalCode !== null) return
      const ended = once(daemon, 'exit')
      daemon.kill('SIGTERM')
      await ended
    })
    while (!(await isOpen(port))) {
      if (daemon.exitCode !== null || performance.now() - started > START_MS) {
        throw new Error(`the key server did not start:\n${readFileSync(log, 'utf8')}`)
      }
      await delay(5)
    }
    const startMs = performance.now() - started
    const identity = { ca: ca.certificatePem, cert: edge.chainPem, key: edge.privateKeyPem }
    return {
      folder,
      pid: daemon.pid ?? 0,
      port,
      identity,
      startMs,
      async client() {
        const { child } = await Child.start(LOAD, {})
        stack.use(child)
        return (work, load) => {
          const { opcode, payload } = KEYS[work]
          const ski = skis.get(work)
          const question: KeylessLoad = {
            ...load,
            ...identity,
            port,
            opcode,
            payload: [...payload],
            ski: ski === undefined ? undefined : [...ski],
          }
          return child.ask<KeylessMeasured>(question)
        }
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

/** The processes that hold keys: the children of the one that supervises them, or that one alone. */
export function workersOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return children === '' ? [pid] : children.split(' ').map(Number)
}

/** Resident memory of a process. */
export function residentMb(pid: number): number {
  const [, kb] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kb) / 1024
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function isOpen(port: number): Promise<boolean> {
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

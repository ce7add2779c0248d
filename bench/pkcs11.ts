// What the PKCS#11 driver costs above the bare binding, and what a key on a token costs a handshake against one in a file.
// On SoftHSM2, whose signature is OpenSSL's: with real hardware all of this disappears behind the device.
import { runCommand } from '../test/support/command.ts'
import { Child } from '../test/support/child.ts'
import { PIN, SOFTHSM_MODULE, SoftHsm } from '../test/support/softhsm.ts'
import { startSystem } from '../test/support/system.ts'
import type { HandshakeLoad, HandshakeReport } from '../test/processes/handshake-client.ts'
import type { TokenLoad } from './processes/token-signer.ts'
import { type Bench, type Result, type Round, summarise } from './support/report.ts'

const ROUNDS = 9
const SECONDS = 0.7
const SESSIONS = [4, 16] as const
const COMMAND = new URL('../packages/latchkey/bin/latchkey.js', import.meta.url).pathname

const SIGNING = [
  { id: 'pkcs11-p256', kind: 'p256', keyType: 'EC:prime256v1' },
  { id: 'pkcs11-rsa2048', kind: 'rsa2048', keyType: 'rsa:2048' },
] as const

export const pkcs11Signing: readonly Bench[] = SIGNING.map(({ id, kind, keyType }) => ({
  id,
  about: `${kind} signatures/s on SoftHSM2 through the driver, against a bare loop on the binding`,
  async run() {
    using hsm = new SoftHsm()
    hsm.addToken('bench')
    hsm.generate('bench', keyType, 'key', '01')
    Object.assign(process.env, hsm.env, { UV_THREADPOOL_SIZE: String(Math.max(...SESSIONS) + 4) })
    const results: Result[] = []
    for (const sessions of SESSIONS) {
      const load = {
        uri: hsm.uri('bench', 'key'),
        module: SOFTHSM_MODULE,
        pin: PIN,
        label: 'key',
        kind,
        sessions,
      }
      const ask = { ...load, seconds: SECONDS, through: 'driver' } satisfies TokenLoad
      const module = new URL('processes/token-signer.ts', import.meta.url)
      const { child } = await Child.start<{ perSecond: number }>(module, ask)
      await using signer = child
      const rate = async (through: TokenLoad['through']): Promise<number> =>
        (await signer.ask<{ perSecond: number }>({ ...ask, through })).perSecond
      await rate('binding') // warm
      const rounds: Round[] = []
      for (let round = 0; round < ROUNDS; round++) {
        rounds.push({ ours: await rate('driver'), peer: await rate('binding') })
      }
      const note = `${sessions} sessions. The rest is the session pool, the deadline, the checks of digest and signature.`
      results.push(
        summarise(
          { id, unit: `signatures/s, ${sessions} sessions`, peer: 'bare pkcs11js', goal: 0.9, note },
          rounds,
        ),
      )
    }
    return results
  },
}))

const HANDSHAKES = 1500

export const keylessFullHsm: Bench = {
  id: 'keyless-full-hsm',
  about: 'full handshakes/s through edge and key server with a P-256 key on SoftHSM2, against one in a file',
  async run() {
    using hsm = new SoftHsm()
    hsm.addToken('bench')
    hsm.generate('bench', 'EC:prime256v1', 'key', '01')
    Object.assign(process.env, hsm.env)
    const uri = hsm.uri('bench', 'key')
    const name = 'token.site.test'
    const { output: csr } = await runCommand(process.execPath, [COMMAND, 'hsm', 'csr', uri, '--name', name])
    await using system = await startSystem({
      keyAlgorithms: ['ecdsa-p256'],
      keysElsewhere: [{ name, csr }],
      keyServerSettings: `- uri: ${uri}\n`,
      origin: (_request, response) => response.end(),
    })
    const [file] = system.sites
    const load = (serverName: string, count: number): HandshakeLoad => ({
      port: system.edgePort,
      ca: system.caPem,
      concurrency: 16,
      serverName,
      count,
    })
    const module = new URL('../test/processes/handshake-client.ts', import.meta.url)
    const { child } = await Child.start<HandshakeReport>(module, load(name, HANDSHAKES))
    await using clients = child
    const rate = async (serverName: string): Promise<number> => {
      const { completed, seconds } = await clients.ask<HandshakeReport>(load(serverName, HANDSHAKES))
      if (completed !== HANDSHAKES) throw new Error(`${HANDSHAKES - completed} handshakes failed`)
      return completed / seconds
    }
    await rate(file?.name ?? '') // warm
    const rounds: Round[] = []
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push({ ours: await rate(name), peer: await rate(file?.name ?? '') })
    }
    const note = 'Client, edge and key server share the cores; 16 handshakes at a time.'
    return [
      summarise(
        { id: 'keyless-full-hsm', unit: 'handshakes/s', peer: 'key in a file', goal: null, note },
        rounds,
      ),
    ]
  },
}

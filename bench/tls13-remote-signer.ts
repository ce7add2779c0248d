// Full handshakes whose signature takes 10 ms to come, against the same server with a key at hand.
import type { DelayReport } from './processes/tls-server.ts'
import { type Bench, type Round, summarise } from './support/report.ts'
import { type Side, startTlsServers } from './support/tls-servers.ts'

const ROUNDS = 7
const HANDSHAKES = 1000
const WARM_UP = 6000
const SIGNER_DELAY_MS = 10
const LOAD = { work: 'full', concurrency: 128 } as const

export const tls13RemoteSigner: Bench = {
  id: 'tls13-remote-signer',
  about: `full TLS 1.3 handshakes a second of server CPU, signer ${SIGNER_DELAY_MS} ms away against a local one`,
  async run() {
    await using servers = await startTlsServers({
      ours: { signerDelayMs: SIGNER_DELAY_MS },
      peer: { engine: 'latchkey' },
    })
    await servers.load('ours', { ...LOAD, count: WARM_UP })
    await servers.load('peer', { ...LOAD, count: WARM_UP })
    const eventLoopP99Ms = async (): Promise<number> =>
      (await servers.server.ours.ask<DelayReport>({ delay: true })).eventLoopP99Ms
    const perCpuSecond = async (side: Side): Promise<number> =>
      HANDSHAKES / (await servers.cpuSeconds(side, { ...LOAD, count: HANDSHAKES }))
    const rounds: Round[] = []
    const delays: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      await eventLoopP99Ms()
      const ours = await perCpuSecond('ours')
      delays.push(await eventLoopP99Ms())
      rounds.push({ ours, peer: await perCpuSecond('peer') })
    }
    const [best = 0, median = 0, worst = 0] = [0, ROUNDS >> 1, ROUNDS - 1].map(
      (at) => delays.toSorted((a, b) => a - b)[at],
    )
    const note =
      `${LOAD.concurrency} clients at a time; each signature is made at once and handed over ${SIGNER_DELAY_MS} ms later, so that both sides pay for it. ` +
      `Event-loop delay p99 with the remote signer, median of ${ROUNDS} rounds: ${median.toFixed(1)} ms [${best.toFixed(1)}–${worst.toFixed(1)}], goal below 20.`
    return [
      summarise(
        { id: 'tls13-remote-signer', unit: 'handshakes/CPU-s', peer: 'local signer', goal: 0.9, note },
        rounds,
      ),
    ]
  },
}

// What a connection costs that only waits.
import type { MemoryReport } from './processes/tls-server.ts'
import { type Bench, type Round, summarise } from './support/report.ts'
import { type Side, startTlsServers } from './support/tls-servers.ts'

const ROUNDS = 3
const CONNECTIONS = 5000
/** Code and pools are there before the first figure is taken. */
const WARM_UP = 2000
const KILOBYTE = 1000

export const tlsIdleMemory: Bench = {
  id: 'tls-idle-memory',
  about: `resident memory of each of ${CONNECTIONS} idle TLS 1.3 connections, ours against node:tls`,
  async run() {
    const rounds: Round[] = []
    const heap: Record<Side, number[]> = { ours: [], peer: [] }
    for (let round = 0; round < ROUNDS; round++) {
      // New processes each time: what has once been resident stays so for a while.
      await using servers = await startTlsServers()
      const perConnection = async (side: Side): Promise<number> => {
        const memory = () => servers.server[side].ask<MemoryReport>({ memory: true })
        await servers.load(side, { work: 'full', count: WARM_UP })
        const before = await memory()
        await servers.load(side, { work: 'hold', count: CONNECTIONS })
        const after = await memory()
        await servers.load(side, { work: 'release', count: CONNECTIONS })
        heap[side].push((after.heapBytes - before.heapBytes) / CONNECTIONS / KILOBYTE)
        return (after.residentBytes - before.residentBytes) / CONNECTIONS / KILOBYTE
      }
      rounds.push({ ours: await perConnection('ours'), peer: await perConnection('peer') })
    }
    const kilobytes = (values: readonly number[]) => (values[ROUNDS >> 1] ?? 0).toFixed(1)
    const note =
      'Each connection has made its handshake and had a reply of one byte. Growth of the resident set after collections; of it ' +
      `JavaScript heap and external memory: ours ${kilobytes(heap.ours)} kB, peer ${kilobytes(heap.peer)} kB. ` +
      'What OpenSSL and libuv allocate besides shows in the resident set only.'
    return [
      summarise(
        {
          id: 'tls-idle-memory',
          unit: 'kB/connection',
          peer: 'node:tls',
          goal: 0.5,
          isLessBetter: true,
          note,
        },
        rounds,
      ),
    ]
  },
}

// Application data after the handshake: what a server can send.
import { type Bench, type Round, summarise } from './support/report.ts'
import { type Side, startTlsServers } from './support/tls-servers.ts'

const ROUNDS = 7
/** The compiler is still at work in the first. */
const WARM_UP_ROUNDS = 3
const BYTES = 256 * 1024 * 1024
const MEGABYTE = 1e6
const NOTE =
  'CPU of the server process, kernel included: written 64 kB at a time, AES-128-GCM, records of 16 kB. '
const THROUGH_FFI = 'Ours calls OpenSSL through the FFI: useOpenSslPrimitives().'
const ON_NODE_CRYPTO =
  'Ours with nothing but node:crypto, which makes a cipher object and two Buffers a record.'

export const tlsBulk: readonly Bench[] = [
  bulk('tls-bulk', true, NOTE + THROUGH_FFI),
  bulk('tls-bulk-node', false, NOTE + ON_NODE_CRYPTO),
]

function bulk(id: string, throughFfi: boolean, note: string): Bench {
  return {
    id,
    about: 'MB sent a second of server CPU over one TLS 1.3 connection, ours against node:tls',
    async run() {
      await using servers = await startTlsServers({ ours: { throughFfi } })
      const perCpuSecond = async (side: Side): Promise<number> =>
        BYTES / MEGABYTE / (await servers.cpuSeconds(side, { work: 'download', count: BYTES }))
      for (let round = 0; round < WARM_UP_ROUNDS; round++) {
        await perCpuSecond('ours')
        await perCpuSecond('peer')
      }
      const rounds: Round[] = []
      for (let round = 0; round < ROUNDS; round++)
        rounds.push({ ours: await perCpuSecond('ours'), peer: await perCpuSecond('peer') })
      return [summarise({ id, unit: 'MB/CPU-s', peer: 'node:tls', goal: 0.85, note }, rounds)]
    },
  }
}

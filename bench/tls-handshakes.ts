// TLS handshakes: our engine with a local signer against node:tls on the same Node, with the same certificate, group and suite.
import { type Bench, type Round, summarise } from './support/report.ts'
import { type Load, startTlsServers } from './support/tls-servers.ts'

const ROUNDS = 7
const HANDSHAKES = 1000
/** Cold code costs twice as much: both servers are warm before anything counts. */
const WARM_UP = 6000

interface Row {
  readonly id: string
  readonly about: string
  readonly load: Omit<Load, 'count'>
  readonly throughFfi?: boolean
  readonly note: string
}

const SAME_JOB = 'CPU of the server process, kernel included: accept, handshake, a reply of one byte, close. '
const SAME_TICKETS =
  'Both send session tickets (two after a full handshake, one after a resumption), ours in one write with the reply. '

const ROWS: readonly Row[] = [
  {
    id: 'tls13-full',
    about: 'full TLS 1.3 handshakes a second of server CPU, ours against node:tls',
    load: { work: 'full' },
    note: SAME_JOB + SAME_TICKETS,
  },
  {
    id: 'tls13-resumed',
    about: 'resumed TLS 1.3 handshakes a second of server CPU, ours against node:tls',
    load: { work: 'resumed' },
    note: SAME_JOB + SAME_TICKETS,
  },
  {
    id: 'tls13-hybrid',
    about: 'full TLS 1.3 handshakes with X25519MLKEM768 a second of server CPU, ours against node:tls',
    load: { work: 'full', group: 'X25519MLKEM768' },
    note: SAME_JOB + SAME_TICKETS,
  },
  {
    id: 'tls13-full-ffi',
    about: 'full TLS 1.3 handshakes a second of server CPU, ours through the FFI against node:tls',
    load: { work: 'full' },
    throughFfi: true,
    note: `${SAME_JOB}${SAME_TICKETS}Ours with useOpenSslPrimitives(), which is opt-in. `,
  },
  {
    id: 'tls13-resumed-ffi',
    about: 'resumed TLS 1.3 handshakes a second of server CPU, ours through the FFI against node:tls',
    load: { work: 'resumed' },
    throughFfi: true,
    note: `${SAME_JOB}${SAME_TICKETS}Ours with useOpenSslPrimitives(), which is opt-in. `,
  },
  {
    id: 'tls12-full',
    about: 'full TLS 1.2 handshakes a second of server CPU, ours against node:tls',
    load: { work: 'full', version: 'TLSv1.2' },
    note: `${SAME_JOB}The client asks for no ticket. `,
  },
]

/** As many as node:tls. */
const GOAL = 1

export const tlsHandshakes: readonly Bench[] = ROWS.map(({ id, about, load, throughFfi, note }) => ({
  id,
  about,
  async run() {
    await using servers = await startTlsServers(throughFfi === true ? { ours: { throughFfi } } : {})
    await servers.load('ours', { ...load, count: WARM_UP })
    await servers.load('peer', { ...load, count: WARM_UP })
    const perCpuSecond = async (side: 'ours' | 'peer'): Promise<number> =>
      HANDSHAKES / (await servers.cpuSeconds(side, { ...load, count: HANDSHAKES }))
    const rounds: Round[] = []
    for (let round = 0; round < ROUNDS; round++)
      rounds.push({ ours: await perCpuSecond('ours'), peer: await perCpuSecond('peer') })
    return [summarise({ id, unit: 'handshakes/CPU-s', peer: 'node:tls', goal: GOAL, note }, rounds)]
  },
}))

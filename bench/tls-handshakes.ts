// TLS handshakes: our engine with a local signer against node:tls on the same Node, with the same certificate, group and suite.
import { type Bench, type Round, summarise } from './support/report.ts'
import { type Load, type Side, startTlsServers } from './support/tls-servers.ts'

const ROUNDS = 7
const HANDSHAKES = 1000
/** Cold code costs twice as much: both servers are warm before anything counts. */
const WARM_UP = 12_000

interface Row {
  readonly id: string
  readonly about: string
  readonly load: Omit<Load, 'count'>
  readonly note: string
}

const SAME_JOB = 'CPU of the server process, kernel included: accept, handshake, a reply of one byte, close. '
const THROUGH_FFI = 'Ours calls OpenSSL through the FFI: useOpenSslPrimitives().'
const ON_NODE_CRYPTO = 'Ours with nothing but node:crypto.'
const SAME_TICKETS =
  'Both send session tickets (two after a full handshake, one after a resumption), ours in one write with the reply. '

const KINDS: readonly Row[] = [
  {
    id: 'tls13-full',
    about: 'full TLS 1.3 handshakes',
    load: { work: 'full' },
    note: SAME_TICKETS,
  },
  {
    id: 'tls13-resumed',
    about: 'resumed TLS 1.3 handshakes',
    load: { work: 'resumed' },
    note: SAME_TICKETS,
  },
  {
    id: 'tls13-hybrid',
    about: 'full TLS 1.3 handshakes with X25519MLKEM768',
    load: { work: 'full', group: 'X25519MLKEM768' },
    note: SAME_TICKETS,
  },
  {
    id: 'tls12-full',
    about: 'full TLS 1.2 handshakes',
    load: { work: 'full', version: 'TLSv1.2' },
    note: 'The client asks for no ticket. ',
  },
]

/** As many as node:tls. */
const GOAL = 1

export const tlsHandshakes: readonly Bench[] = [true, false].flatMap((throughFfi) =>
  KINDS.map(({ id: kind, about, load, note }) => {
    const id = throughFfi ? kind : `${kind}-node`
    const how = throughFfi ? THROUGH_FFI : ON_NODE_CRYPTO
    return {
      id,
      about: `${about} a second of server CPU, ours against node:tls`,
      async run() {
        await using servers = await startTlsServers({ ours: { throughFfi } })
        await servers.load('ours', { ...load, count: WARM_UP })
        await servers.load('peer', { ...load, count: WARM_UP })
        const perCpuSecond = async (side: Side): Promise<number> =>
          HANDSHAKES / (await servers.cpuSeconds(side, { ...load, count: HANDSHAKES }))
        const rounds: Round[] = []
        for (let round = 0; round < ROUNDS; round++)
          rounds.push({ ours: await perCpuSecond('ours'), peer: await perCpuSecond('peer') })
        const summary = {
          id,
          unit: 'handshakes/CPU-s',
          peer: 'node:tls',
          goal: GOAL,
          note: SAME_JOB + note + how,
        }
        return [summarise(summary, rounds)]
      },
    }
  }),
)

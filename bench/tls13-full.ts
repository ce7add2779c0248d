// Full TLS 1.3 handshakes: our engine with a local signer against node:tls on the same Node, certificate, group and suite.
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { Child } from '../test/support/child.ts'
import { type Bench, type Round, summarise } from './support/report.ts'

const ROUNDS = 5
const HANDSHAKES = 2000
/** Cold code costs twice as much: both servers are warm before anything counts. */
const WARM_UP = 20_000
const SERVER_NAME = 'bench.example'
const LOAD = { serverName: SERVER_NAME, concurrency: 16 }
const TLS_SERVER = new URL('processes/tls-server.ts', import.meta.url)
const HANDSHAKE_CLIENT = new URL('../test/processes/handshake-client.ts', import.meta.url)

export const tls13Full: Bench = {
  id: 'tls13-full',
  about: 'full TLS 1.3 handshakes a second of server CPU, ours against node:tls',
  async run() {
    const ca = await createThrowawayCa({})
    const { chainPem, privateKeyPem } = await ca.issue({
      dnsNames: [SERVER_NAME],
      keyAlgorithm: 'ecdsa-p256',
    })
    const start = { certificatePem: chainPem, privateKeyPem }
    const ours = await Child.start<{ port: number }>(TLS_SERVER, { engine: 'latchkey', ...start })
    await using oursChild = ours.child
    const node = await Child.start<{ port: number }>(TLS_SERVER, { engine: 'node', ...start })
    await using nodeChild = node.child
    const { child: client } = await Child.start(HANDSHAKE_CLIENT, {
      ...LOAD,
      port: ours.answer.port,
      ca: ca.certificatePem,
      count: 1,
    })
    await using clientChild = client

    const load = (port: number, count: number) =>
      clientChild.ask({ ...LOAD, port, ca: ca.certificatePem, count })
    const perCpuSecond = async (server: Child, port: number): Promise<number> => {
      await server.cpuMicros()
      await load(port, HANDSHAKES)
      return HANDSHAKES / ((await server.cpuMicros()) / 1e6)
    }

    await load(ours.answer.port, WARM_UP)
    await load(node.answer.port, WARM_UP)
    const rounds: Round[] = []
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push({
        ours: await perCpuSecond(oursChild, ours.answer.port),
        peer: await perCpuSecond(nodeChild, node.answer.port),
      })
    }
    const note =
      'CPU of the server process, kernel included. Of ours about a third is X25519 and the signature, a tenth HKDF in one-shot hashes, ' +
      'a tenth garbage collection of native handles, the rest sockets and streams. The peer makes two session tickets at once; ours are made with the first data, of which there is none here.'
    return [
      summarise({ id: 'tls13-full', unit: 'handshakes/CPU-s', peer: 'node:tls', goal: 0.85, note }, rounds),
    ]
  },
}

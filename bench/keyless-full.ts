// Full handshakes end to end: browser's side, edge, mutual-TLS link, key server, signature, and back.
import { Child } from '../test/support/child.ts'
import { startLink } from '../test/support/link.ts'
import { type Bench, type Round, summarise } from './support/report.ts'

const ROUNDS = 5
const HANDSHAKES = 2000
const WARM_UP = 6000

export const keylessFull: Bench = {
  id: 'keyless-full',
  about: 'full handshakes a second of CPU, edge with a key server against node:tls with the key',
  async run() {
    await using link = await startLink({ delayMs: 0, origin: 'http://127.0.0.1:9' })
    const node = await Child.start<{ port: number }>(new URL('processes/tls-server.ts', import.meta.url), {
      engine: 'node',
      certificatePem: link.chainPem,
      privateKeyPem: link.privateKeyPem,
    })
    await using nodeChild = node.child
    const load = { serverName: link.serverName, ca: link.caPem, concurrency: 16 }
    const client = await Child.start(new URL('../test/processes/handshake-client.ts', import.meta.url), {
      ...load,
      port: link.edgePort,
      count: WARM_UP,
    })
    await using clients = client.child
    await clients.ask({ ...load, port: node.answer.port, count: WARM_UP })

    const keyServerMicros: number[] = []
    const handshakes = async (port: number): Promise<void> => {
      const { completed } = await clients.ask<{ completed: number }>({
        ...load,
        port,
        count: HANDSHAKES,
      })
      if (completed !== HANDSHAKES) throw new Error(`${HANDSHAKES - completed} handshakes failed`)
    }
    const rounds: Round[] = []
    for (let round = 0; round < ROUNDS; round++) {
      await link.edge.cpuMicros()
      await link.keyServer.cpuMicros()
      await handshakes(link.edgePort)
      const ours = HANDSHAKES / ((await link.edge.cpuMicros()) / 1e6)
      keyServerMicros.push((await link.keyServer.cpuMicros()) / HANDSHAKES)
      await nodeChild.cpuMicros()
      await handshakes(node.answer.port)
      rounds.push({ ours, peer: HANDSHAKES / ((await nodeChild.cpuMicros()) / 1e6) })
    }
    const keyServer = keyServerMicros.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? 0
    const note =
      `CPU of the edge; the key server used ${keyServer.toFixed(0)} µs a handshake besides. ` +
      'What the edge pays more than with a key at hand: one Keyless request in a TLS record, its timer, a promise, and a node:http server on each connection.'
    return [
      summarise({ id: 'keyless-full', unit: 'handshakes/CPU-s', peer: 'node:tls', goal: null, note }, rounds),
    ]
  },
}

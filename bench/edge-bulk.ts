// Bytes through the edge, against a reverse proxy on node:https that holds the key itself.
import { Child } from '../test/support/child.ts'
import { runCommand } from '../test/support/command.ts'
import { startLink } from '../test/support/link.ts'
import { type Bench, type Round, summarise } from './support/report.ts'

const ROUNDS = 5
const BYTES = 512 * 1024 * 1024
const MEGABYTE = 1e6

export const edgeBulk: Bench = {
  id: 'edge-bulk',
  about: 'MB of a download a second of server CPU, edge against a node:https proxy',
  async run() {
    const origin = await Child.start<{ port: number }>(
      new URL('../test/processes/origin.ts', import.meta.url),
      {},
    )
    await using _origin = origin.child
    await using link = await startLink({ delayMs: 0, origin: `http://127.0.0.1:${origin.answer.port}` })
    const node = await Child.start<{ port: number }>(new URL('processes/node-proxy.ts', import.meta.url), {
      certificatePem: link.chainPem,
      privateKeyPem: link.privateKeyPem,
      originPort: origin.answer.port,
    })
    await using nodeChild = node.child

    const perCpuSecond = async (server: Child, port: number): Promise<number> => {
      await server.cpuMicros()
      await download(link.serverName, link.caFile, port)
      return BYTES / MEGABYTE / ((await server.cpuMicros()) / 1e6)
    }
    await perCpuSecond(link.edge, link.edgePort)
    await perCpuSecond(nodeChild, node.answer.port)
    const rounds: Round[] = []
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push({
        ours: await perCpuSecond(link.edge, link.edgePort),
        peer: await perCpuSecond(nodeChild, node.answer.port),
      })
    }
    const { rss } = await link.edge.ask<{ rss: number }>({ longest: true })
    const note =
      `edge after ${ROUNDS + 1} downloads of ${(BYTES / MEGABYTE).toFixed(0)} MB: ${(rss / MEGABYTE).toFixed(0)} MB resident. ` +
      'Both spend most on reading from the origin and writing to the client (kernel copies), then on AES-GCM.'
    return [
      summarise({ id: 'edge-bulk', unit: 'MB/CPU-s', peer: 'node:https proxy', goal: null, note }, rounds),
    ]
  },
}

async function download(host: string, caFile: string, port: number): Promise<void> {
  const place = ['--connect-to', `${host}:443:127.0.0.1:${port}`, '--cacert', caFile]
  const args = [
    '--silent',
    '--show-error',
    '--fail',
    '--output',
    '/dev/null',
    ...place,
    `https://${host}/${BYTES}`,
  ]
  const { code, output } = await runCommand('curl', ['--tls13-ciphers', 'TLS_AES_128_GCM_SHA256', ...args])
  if (code !== 0) throw new Error(`curl: ${output}`)
}

// Two TLS servers that do the same job in processes of their own, and the client that keeps them busy.
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { Child } from '../../test/support/child.ts'
import type { TlsLoad } from '../processes/tls-client.ts'
import type { TlsServerStart } from '../processes/tls-server.ts'

const SERVER_NAME = 'bench.example'
const CONCURRENCY = 16
const TLS_SERVER = new URL('../processes/tls-server.ts', import.meta.url)
const TLS_CLIENT = new URL('../processes/tls-client.ts', import.meta.url)

export type Side = 'ours' | 'peer'
export type Load = Pick<TlsLoad, 'work' | 'count'> &
  Partial<Pick<TlsLoad, 'version' | 'group' | 'concurrency'>>

export interface TlsServers extends AsyncDisposable {
  readonly server: Readonly<Record<Side, Child>>
  /** Puts the load on one of the two. */
  load(side: Side, load: Load): Promise<void>
  /** The same, and the seconds of the server's CPU it took, kernel included. */
  cpuSeconds(side: Side, load: Load): Promise<number>
}

/** Ours and node:tls, if not said otherwise, with one P-256 certificate. */
export async function startTlsServers(
  starts: Partial<Record<Side, Partial<TlsServerStart>>> = {},
): Promise<TlsServers> {
  const stack = new AsyncDisposableStack()
  try {
    const ca = await createThrowawayCa({})
    const { chainPem, privateKeyPem } = await ca.issue({
      dnsNames: [SERVER_NAME],
      keyAlgorithm: 'ecdsa-p256',
    })
    const common = { certificatePem: chainPem, privateKeyPem, serves: true }
    const start = (own: Partial<TlsServerStart>) =>
      Child.start<{ port: number }>(TLS_SERVER, { ...common, ...own })
    const ours = await start({ engine: 'latchkey', ...starts.ours })
    stack.use(ours.child)
    const peer = await start({ engine: 'node', ...starts.peer })
    stack.use(peer.child)
    const fullLoad = (side: Side, load: Load): TlsLoad => ({
      version: 'TLSv1.3',
      group: 'X25519',
      concurrency: CONCURRENCY,
      ...load,
      ca: ca.certificatePem,
      serverName: SERVER_NAME,
      port: (side === 'ours' ? ours : peer).answer.port,
    })
    const { child: client } = await Child.start(TLS_CLIENT, fullLoad('ours', { work: 'full', count: 1 }))
    stack.use(client)

    const server = { ours: ours.child, peer: peer.child }
    const load = async (side: Side, load: Load): Promise<void> =>
      void (await client.ask(fullLoad(side, load)))
    return {
      server,
      load,
      cpuSeconds: async (side, work) => {
        await server[side].cpuMicros()
        await load(side, work)
        return (await server[side].cpuMicros()) / 1e6
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

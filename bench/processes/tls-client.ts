// The client's side of the TLS benches, on node:tls for both servers. Its CPU is not counted.
import { constants } from 'node:crypto'
import { once } from 'node:events'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { answerParent } from '../../test/support/child-side.ts'

export interface TlsLoad {
  readonly port: number
  readonly ca: string
  readonly serverName: string
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  readonly group: 'X25519' | 'X25519MLKEM768'
  /**
   * `full`, `resumed`: so many handshakes, each of them closed after the server's reply. `hold`: connections that stay
   * until `release`. `download`: `count` bytes over one connection.
   */
  readonly work: 'full' | 'resumed' | 'hold' | 'release' | 'download'
  readonly count: number
  readonly concurrency: number
}

const held: TLSSocket[] = []

answerParent(async (load: TlsLoad): Promise<object> => {
  const startedAt = performance.now()
  switch (load.work) {
    case 'full':
      await handshakes(load, load.count)
      break
    case 'resumed':
      await handshakes(load, load.count, await firstSession(load))
      break
    case 'hold':
      await together(load, load.count, async () => void held.push(await served(open(load))))
      break
    case 'release':
      await Promise.all(held.splice(0).map(closed))
      break
    case 'download':
      await download(load)
      break
  }
  return { seconds: (performance.now() - startedAt) / 1000 }
})

async function handshakes(load: TlsLoad, count: number, session?: Buffer): Promise<void> {
  await together(load, count, async () => {
    const socket = await served(open(load, session))
    if (socket.isSessionReused() !== (session !== undefined)) throw new Error('not the handshake asked for')
    await closed(socket)
  })
}

/** `count` jobs, `concurrency` at a time. */
async function together({ concurrency }: TlsLoad, count: number, job: () => Promise<void>): Promise<void> {
  let left = count
  const worker = async (): Promise<void> => {
    while (left-- > 0) await job()
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}

let context: { readonly key: string; readonly secureContext: SecureContext } | undefined

/** One context for all connections of a load, as any client that makes many has it. */
function contextOf({ ca, version, group }: TlsLoad): SecureContext {
  const key = `${version} ${group} ${ca}`
  if (context?.key !== key) {
    const isTls12 = version === 'TLSv1.2'
    // A ticket of TLS 1.2 is part of the handshake and each engine makes its own: not asked for, the work is the same.
    const secureOptions = isTls12 ? constants.SSL_OP_NO_TICKET : 0
    // In TLS 1.2 the list says which curves a certificate may be on, too.
    const ecdhCurve = isTls12 ? `${group}:P-256` : group
    const options = { ca, minVersion: version, maxVersion: version, ecdhCurve, secureOptions } as const
    context = { key, secureContext: createSecureContext(options) }
  }
  return context.secureContext
}

function open(load: TlsLoad, session?: Buffer): TLSSocket {
  const { port, serverName: servername } = load
  return connect({ host: '127.0.0.1', port, servername, secureContext: contextOf(load), session })
}

/** Once the server's reply has come. Tickets, if any, have come with it. */
async function served(socket: TLSSocket): Promise<TLSSocket> {
  await once(socket, 'data')
  return socket
}

async function closed(socket: TLSSocket): Promise<void> {
  socket.end()
  await once(socket, 'close')
}

async function firstSession(load: TlsLoad): Promise<Buffer> {
  const socket = open(load)
  const sessionComes = once(socket, 'session')
  await served(socket)
  const [session] = (await sessionComes) as [Buffer]
  await closed(socket)
  return session
}

async function download(load: TlsLoad): Promise<void> {
  const socket = await served(open(load))
  socket.write(String(load.count))
  let received = 0
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.on('data', (bytes: Buffer) => {
      received += bytes.length
      if (received === load.count) resolve()
    })
  })
  await closed(socket)
}

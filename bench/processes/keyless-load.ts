// A client of a key server that keeps so many requests in flight on so many connections, and counts and times the
// replies. It does as little as it can for each, since it shares the machine with the server it measures.
import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import { encodePacket, HEADER_BYTES } from '@latchkey/wire'
import { answerParent } from '../../test/support/child-side.ts'

export interface KeylessLoad {
  readonly port: number
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly opcode: number
  readonly payload: readonly number[]
  readonly ski: readonly number[] | undefined
  readonly connections: number
  /** On each connection. */
  readonly inFlight: number
  readonly seconds: number
}

export interface KeylessMeasured {
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Replies other than a response or a pong. */
  readonly errors: number
}

/** Latencies are kept up to this many; a longer run keeps the last. */
const MAX_SAMPLES = 1 << 20
const OPCODE_ITEM_AT = HEADER_BYTES
const REPLIES: ReadonlySet<number> = new Set([0xf0, 0xf2])

answerParent(
  async (load: Partial<KeylessLoad>): Promise<object> =>
    load.port === undefined ? {} : await measure(load as KeylessLoad),
)

async function measure(load: KeylessLoad): Promise<KeylessMeasured> {
  const tally = { count: 0, errors: 0, isOver: false, samples: new Float64Array(MAX_SAMPLES) }
  const sockets = await Promise.all(Array.from({ length: load.connections }, () => open(load)))
  const startedAt = performance.now()
  const lanes = sockets.map((socket) => keepBusy(socket, load, tally))
  await new Promise((resolve) => setTimeout(resolve, load.seconds * 1000))
  const { count } = tally
  const seconds = (performance.now() - startedAt) / 1000
  tally.isOver = true
  await Promise.all(lanes)
  for (const socket of sockets) socket.destroy()
  const sorted = tally.samples.subarray(0, Math.min(tally.count, MAX_SAMPLES)).toSorted()
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { perSecond: count / seconds, p50: at(0.5), p99: at(0.99), max: at(1), errors: tally.errors }
}

async function open({ port, ca, cert, key }: KeylessLoad): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, ca, cert, key, checkServerIdentity: () => undefined })
  socket.setNoDelay(true)
  await once(socket, 'secureConnect')
  return socket
}

interface Tally {
  count: number
  errors: number
  isOver: boolean
  readonly samples: Float64Array
}

/** Resolves when all that was in flight at the end has been answered. */
function keepBusy(socket: TLSSocket, load: KeylessLoad, tally: Tally): Promise<void> {
  const { opcode, ski } = load
  const payload = Uint8Array.from(load.payload)
  const packets = Array.from({ length: load.inFlight }, (_, id) =>
    encodePacket(id, { opcode, payload, ...(ski === undefined ? {} : { ski: Uint8Array.from(ski) }) }),
  )
  const sentAt = new Float64Array(load.inFlight)
  let open = load.inFlight
  let rest: Buffer = Buffer.alloc(0)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.on('error', reject)
  socket.on('close', () => reject(new Error('the key server closed the connection')))
  socket.on('data', (chunk: Buffer) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const now = performance.now()
    const next: Uint8Array[] = []
    let at = 0
    while (bytes.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + bytes.readUInt16BE(at + 2)
      if (end > bytes.length) break
      const id = bytes.readUInt32BE(at + 4)
      if (!REPLIES.has(bytes[at + OPCODE_ITEM_AT + 3] as number)) tally.errors++
      tally.samples[tally.count++ % MAX_SAMPLES] = now - (sentAt[id] as number)
      at = end
      if (tally.isOver) open--
      else {
        sentAt[id] = now
        next.push(packets[id] as Uint8Array)
      }
    }
    rest = bytes.subarray(at)
    if (next.length > 0) socket.write(next.length === 1 ? (next[0] as Uint8Array) : Buffer.concat(next))
    if (open === 0) resolve()
  })
  sentAt.fill(performance.now())
  socket.write(Buffer.concat(packets))
  return promise
}

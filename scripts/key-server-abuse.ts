// What the worst clients make a key server hold, and what its good ones notice: memory of all workers and the p99 of one
// signature at a time, before and during each abuse.
//   node scripts/key-server-abuse.ts [part of a name]
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { constants, setPriority } from 'node:os'
import { Duplex } from 'node:stream'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { setTimeout as delay } from 'node:timers/promises'
import { encodePacket } from '@latchkey/wire'
import { type KeyServerBench, residentMb, startKeyServer, workersOf } from '../bench/support/key-server.ts'

const GOOD = { connections: 1, inFlight: 1, seconds: 4 }
const MAX_P99_RATIO = 3
/** Below this a good client has nothing to complain of, whatever it was before. */
const GOOD_ENOUGH_MS = 2
const SAMPLE_MS = 100

type Abuse = (keyServer: KeyServerBench) => Promise<{ readonly what: string; stop(): void }>

const ABUSES: Readonly<Record<string, Abuse>> = {
  '10,000 silent TCP connections': async ({ port }) => {
    const sockets = await Promise.all(Array.from({ length: 10_000 }, () => dial(port)))
    await delay(200)
    const open = sockets.filter((socket) => !socket.destroyed).length
    return { what: `${open} of them left open`, stop: () => destroyAll(sockets) }
  },
  'a flood of half handshakes': async ({ port }) => {
    const hello = await clientHello()
    const sockets = new Set<Socket>()
    let sent = 0
    const over = new AbortController()
    const flood = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const socket = await dial(port)
        sockets.add(socket)
        socket.write(hello)
        sent++
        await Promise.race([once(socket, 'data'), once(socket, 'close'), delay(1000)]).catch(() => {})
        sockets.delete(socket)
        if (sent % 2 === 0) socket.destroy() // the others stay, silent, until the server has enough of them
        await delay(10)
      }
    }
    for (let lane = 0; lane < 20; lane++) void flood()
    return {
      get what() {
        return `${sent} hellos so far`
      },
      stop: () => {
        over.abort()
        destroyAll([...sockets])
      },
    }
  },
  '50 clients that never read': async ({ port, identity }) => {
    const ping = encodePacket(1, { opcode: 0xf1, payload: new Uint8Array(60_000) })
    const sockets = await Promise.all(Array.from({ length: 50 }, () => secure(port, identity)))
    const timer = setInterval(() => {
      for (const socket of sockets) {
        socket.pause()
        if (socket.writableLength < 1 << 20) socket.write(ping)
      }
    }, 5)
    const stop = (): void => {
      clearInterval(timer)
      destroyAll(sockets)
    }
    return { what: 'pings of 60 kB as fast as they are taken', stop }
  },
  '200 clients that send one byte a second': async ({ port, identity }) => {
    const packet = encodePacket(1, { opcode: 0xf1 })
    const sockets = await Promise.all(Array.from({ length: 200 }, () => secure(port, identity)))
    let at = 0
    const timer = setInterval(() => {
      for (const socket of sockets) socket.write(packet.subarray(at, at + 1))
      at++
    }, 1000)
    const stop = (): void => {
      clearInterval(timer)
      destroyAll(sockets)
    }
    return { what: 'a packet that never ends', stop }
  },
}

function dial(port: number): Promise<Socket> {
  const socket = connectTcp(port, '127.0.0.1')
  socket.on('error', () => {})
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(socket))
    socket.once('close', () => resolve(socket))
  })
}

async function secure(port: number, identity: KeyServerBench['identity']): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port, ...identity, checkServerIdentity: () => undefined })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

function destroyAll(sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.destroy()
}

/** The first flight of a real client. */
function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = new Duplex({ read: () => {}, write: (chunk: Buffer) => resolve(chunk) })
    connectTls({ socket }).on('error', () => {})
  })
}

/** Highest sum over the workers while `work` runs. */
async function peakMb<T>(pid: number, work: Promise<T>): Promise<[T, number]> {
  let peak = 0
  const sample = (): void => {
    const total = workersOf(pid).reduce((sum, worker) => sum + residentMb(worker), 0)
    peak = Math.max(peak, total)
  }
  const timer = setInterval(sample, SAMPLE_MS)
  try {
    return [await work, peak]
  } finally {
    clearInterval(timer)
  }
}

const only = process.argv[2] ?? ''
for (const [name, abuse] of Object.entries(ABUSES)) {
  if (!name.includes(only)) continue
  await using keyServer = await startKeyServer()
  const good = await keyServer.client()
  await good('ecdsa', GOOD)
  const [before, memoryBefore] = await peakMb(keyServer.pid, good('ecdsa', GOOD))
  // In life the abusers have machines of their own: here they get the time that nobody else wants.
  setPriority(constants.priority.PRIORITY_LOW)
  const running = await abuse(keyServer)
  await delay(500)
  const [during, memoryDuring] = await peakMb(keyServer.pid, good('ecdsa', GOOD))
  const { what } = running
  running.stop()
  setPriority(constants.priority.PRIORITY_NORMAL)
  const ratio = during.p99 / before.p99
  const isGood = (ratio <= MAX_P99_RATIO || during.p99 <= GOOD_ENOUGH_MS) && during.errors === 0
  console.log(
    `${name} (${what}): memory ${memoryBefore.toFixed(0)} → ${memoryDuring.toFixed(0)} MB, ` +
      `p99 ${before.p99.toFixed(2)} → ${during.p99.toFixed(2)} ms (${ratio.toFixed(1)} ×)${isGood ? '' : '  TOO MUCH'}`,
  )
  if (!isGood) process.exitCode = 1
}
process.exit()

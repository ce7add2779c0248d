// Runs in a process of its own (socket-probe.test.ts): what cannot be seen, or must not happen, beside other tests.
//   node --expose-gc socket-probe.ts
// Prints one line of JSON, a ProbeReport.
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { connect, createSecureContext } from 'node:tls'
import { createTlsServer, type TlsSocket } from '@latchkey/tls'
import { HandshakeQueue } from '../src/socket/handshake-queue.ts'
import { testCertificate } from './support/certificate.ts'
import { HOST, listen, localSigner, tlsOptions } from './support/socket-server.ts'

export interface ProbeReport {
  /** What was thrown in each listener, as the process saw it. */
  readonly uncaught: readonly string[]
  /** What streams said of errors meanwhile. */
  readonly streamErrors: readonly string[]
  /** Jobs that a queue which is never empty had run and still held. */
  readonly jobsHeld: number
  /** Bytes added by 400 handshakes that succeed and 400 that do not. */
  readonly growth: number
  /** Timers, sockets and the like, before and after. */
  readonly resourcesBefore: readonly string[]
  readonly resourcesAfter: readonly string[]
  readonly failures: number
}

const ROUNDS = 400
const AT_ONCE = 8

/** One for all clients, as a process that dials a lot has it. */
const secureContext = createSecureContext({
  ca: testCertificate('p256').chainPem,
  allowPartialTrustChain: true,
})

const uncaught: string[] = []
process.on('uncaughtException', (error: Error) => uncaught.push(error.message))

const streamErrors = await throwInListeners()
const jobsHeld = await countHeldJobs()
const report: ProbeReport = { uncaught, streamErrors, jobsHeld, ...(await manyHandshakes()) }
console.log(JSON.stringify(report))

/** Listeners that throw, one after the other; each connection goes on until the probe closes it. */
async function throwInListeners(): Promise<string[]> {
  const errors: string[] = []
  const bug = (name: string) => (): never => {
    throw new Error(name)
  }
  await using server = await listen(
    createTlsServer(tlsOptions(), (socket) => {
      socket.on('error', (error) => errors.push(error.message))
      // The first chunk comes when the stream starts to flow, the others from inside the connection.
      socket.once('data', () => socket.once('data', bug('data')))
      socket.once('close', bug('close'))
    }),
  )
  server.server.once('secureConnection', bug('secureConnection'))
  server.server.once('tlsClientError', bug('tlsClientError'))
  const client = secure(server.port)
  await once(client, 'secureConnect')
  for (const text of ['one', 'two', 'three']) {
    client.write(text)
    await sleep(10)
  }
  client.end()
  await once(client.resume(), 'close')
  await plain(server.port)
  return errors
}

async function countHeldJobs(): Promise<number> {
  const queue = new HandshakeQueue()
  const held: WeakRef<() => void>[] = []
  let isOver = false
  const add = (): void => {
    const job = (): void => {
      if (!isOver) add()
    }
    held.push(new WeakRef(job))
    queue.run(job)
  }
  for (let job = 0; job < 100; job++) add()
  while (held.length < 5000) await nextTurn()
  globalThis.gc?.()
  const count = held.filter((job) => job.deref() !== undefined).length - queue.length
  isOver = true
  while (queue.length > 0) await nextTurn()
  return count
}

async function manyHandshakes(): Promise<Omit<ProbeReport, 'uncaught' | 'streamErrors' | 'jobsHeld'>> {
  let failures = 0
  const server = createTlsServer(
    tlsOptions({
      // Now and then the answer comes later, and now and then not at all.
      signer: {
        sign: (request, signal) =>
          request.serverName.startsWith('never')
            ? new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
            : nextTurn().then(() => localSigner.sign(request, signal)),
      },
    }),
    (socket: TlsSocket) => void socket.end('done'),
  )
  server.listen(0, HOST)
  await once(server, 'listening')
  server.on('tlsClientError', () => failures++)
  const { port } = server.address() as { port: number }
  await rounds(port, 200)
  const resourcesBefore = await resources()
  const before = await bytesInUse()
  failures = 0
  await rounds(port, ROUNDS)
  const resourcesAfter = await resources()
  const after = await bytesInUse()
  server.close()
  await once(server, 'close')
  return {
    growth: after - before,
    resourcesBefore,
    resourcesAfter,
    failures,
  }
}

/** Each round is one handshake that succeeds and one that does not. */
async function rounds(port: number, count: number): Promise<void> {
  const bad = [plain, abandoned, reset]
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      const round = next++
      await once(secure(port).resume(), 'close')
      await bad[round % bad.length]?.(port)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

function secure(port: number, servername = 'www.example.com') {
  return connect({ port, host: HOST, servername, secureContext }).on('error', () => {})
}

/** Plain HTTP. */
async function plain(port: number): Promise<void> {
  const socket = tcp(port)
  socket.end('GET / HTTP/1.1\r\n\r\n')
  await once(socket, 'close')
}

/** A client that goes while its signature is being made. */
async function abandoned(port: number): Promise<void> {
  const client = secure(port, 'never.example.com')
  await once(client, 'connect')
  await sleep(5)
  client.destroy()
}

async function reset(port: number): Promise<void> {
  const socket = tcp(port)
  await once(socket, 'connect')
  socket.resetAndDestroy()
  await once(socket, 'close')
}

function tcp(port: number): Socket {
  return connectTcp({ port, host: HOST }).on('error', () => {})
}

/** What keeps the process alive once everything has had time to close. */
async function resources(): Promise<string[]> {
  await sleep(50)
  return process.getActiveResourcesInfo().toSorted()
}

/** Bytes of heap and buffers that are in use. Native objects go some turns after what held them. */
async function bytesInUse(): Promise<number> {
  for (let round = 0; round < 5; round++) {
    globalThis.gc?.()
    await sleep(10)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

// A TLS server in a process of its own, ours or Node's, that tells what CPU time and memory it used.
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer as createNodeServer } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  createCertificateStore,
  createLocalSigner,
  createTlsServer,
  loadCredential,
  type Signer,
  useOpenSslPrimitives,
} from '@latchkey/tls'
import { answerParent } from '../../test/support/child-side.ts'

export interface TlsServerStart {
  readonly engine: 'latchkey' | 'node'
  readonly certificatePem: string
  readonly privateKeyPem: string
  /** Whether each connection gets a byte as soon as it is secure, and as many as it then asks for. */
  readonly serves?: boolean
  /** Whether our engine computes through the FFI, as it does in an edge; see the README of @latchkey/tls. Default true. */
  readonly throughFfi?: boolean
  /** How long our signer takes to answer, as one does that is elsewhere. Default 0: in the same turn. */
  readonly signerDelayMs?: number
}

export interface MemoryReport {
  readonly residentBytes: number
  /** The JavaScript heap and what hangs on its objects outside. */
  readonly heapBytes: number
}

export interface DelayReport {
  /** Since the last question; the resolution of 1 ms included. */
  readonly eventLoopP99Ms: number
}

const delays = monitorEventLoopDelay({ resolution: 1 })

answerParent(async (question: TlsServerStart | { readonly memory: true } | { readonly delay: true }) => {
  if ('memory' in question) return memory()
  if ('delay' in question) return eventLoopDelay()
  const server = question.engine === 'node' ? nodeServer(question) : latchkeyServer(question)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port }
})

function latchkeyServer(start: TlsServerStart): Server {
  if (start.throughFfi !== false && !useOpenSslPrimitives()) throw new Error('no OpenSSL through the FFI')
  const certificates = createCertificateStore({
    hosts: [],
    default: [loadCredential({ chain: start.certificatePem })],
  })
  return createTlsServer({ certificates, signer: signerOf(start) }, (socket) => serve(socket, start))
}

function signerOf({ certificatePem, privateKeyPem, signerDelayMs = 0 }: TlsServerStart): Signer {
  const signer = createLocalSigner([
    { privateKey: createPrivateKey(privateKeyPem), publicKey: createPublicKey(certificatePem) },
  ])
  if (signerDelayMs === 0) return signer
  return {
    sign: async (request, signal) => {
      const signature = signer.sign(request, signal)
      await delay(signerDelayMs)
      return signature
    },
  }
}

function nodeServer(start: TlsServerStart): Server {
  const options = {
    cert: start.certificatePem,
    key: start.privateKeyPem,
    ecdhCurve: 'X25519MLKEM768:X25519',
    ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256',
  } as const
  return createNodeServer(options, (socket) => serve(socket, start))
}

const CHUNK = Buffer.alloc(64 * 1024, 'latchkey')

function serve(socket: Duplex, { serves = false }: TlsServerStart): void {
  socket.on('error', () => {})
  if (!serves) {
    socket.resume()
    return
  }
  socket.write('.')
  socket.on('data', (asked: Buffer) => sendBytes(socket, Number(asked.toString())))
}

function sendBytes(socket: Duplex, count: number): void {
  let left = count
  const send = (): void => {
    while (left > 0) {
      const size = Math.min(left, CHUNK.length)
      left -= size
      if (!socket.write(size === CHUNK.length ? CHUNK : CHUNK.subarray(0, size))) {
        socket.once('drain', send)
        return
      }
    }
  }
  send()
}

/** What is left after collections: what the living connections hold. */
async function memory(): Promise<MemoryReport> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let round = 0; round < 3; round++) {
    collect()
    await delay(50)
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { residentBytes: rss, heapBytes: heapUsed + external }
}

function eventLoopDelay(): DelayReport {
  const eventLoopP99Ms = delays.percentile(99) / 1e6
  delays.reset()
  delays.enable()
  return { eventLoopP99Ms }
}

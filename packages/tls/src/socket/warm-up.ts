// Makes the code of a handshake hot before the first client comes, who would wait for it to be compiled.
//
// The server here is the real one, with a key of its own that lives as long as this takes; its clients are Node's, on the
// loopback interface of this process. No signer and no key server is asked for anything.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { loadCredential } from '../credential/credential.ts'
import { generateSignatureKey, hasMlKem, importPublicKey, signContent } from '../crypto-provider.ts'
import { createLocalSigner } from '../signer/local-signer.ts'
import { createTlsServer, type TlsServerOptions } from './server.ts'

export interface WarmUpOptions {
  /** Default 2,000: the code is as fast as it gets after some 2,500. */
  readonly handshakes?: number
  /** No handshake is begun later than this. Default 2,000 ms. */
  readonly timeoutMs?: number
}

export interface WarmUpReport {
  /** How many came to their end. */
  readonly handshakes: number
  readonly ms: number
}

const DEFAULT_HANDSHAKES = 2000
const DEFAULT_TIMEOUT_MS = 2000
/** So few that no turn of the event loop takes long. */
const AT_ONCE = 8
const HOST = '127.0.0.1'

/**
 * Shakes hands with itself: TLS 1.3 with each default group, by ticket, and TLS 1.2, each with data both ways. To be called
 * once a process, before it listens.
 */
export async function warmUp({
  handshakes = DEFAULT_HANDSHAKES,
  timeoutMs = DEFAULT_TIMEOUT_MS,
}: WarmUpOptions = {}): Promise<WarmUpReport> {
  const startedAt = performance.now()
  const server = createTlsServer(throwAwaySite(), (socket) => socket.on('data', (data) => socket.end(data)))
  server.listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const clients = CLIENTS.map((options) => new Client(port, createSecureContext(options)))
  let begun = 0
  let done = 0
  const worker = async (): Promise<void> => {
    while (begun < handshakes && performance.now() - startedAt < timeoutMs) {
      const client = clients[begun++ % clients.length] as Client
      if (await client.handshake()) done++
    }
  }
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  } finally {
    server.close()
  }
  return { handshakes: done, ms: performance.now() - startedAt }
}

/** One for each way through the code. */
const CLIENTS = [
  ...(hasMlKem ? [{ ecdhCurve: 'X25519MLKEM768' }] : []),
  { ecdhCurve: 'X25519' },
  { ecdhCurve: 'P-256' },
  { ecdhCurve: 'X25519:P-256', maxVersion: 'TLSv1.2' },
] as const

/** Every second of its handshakes is a resumption, once it has a ticket. */
class Client {
  readonly #port: number
  readonly #secureContext: SecureContext
  #session: Buffer | undefined

  constructor(port: number, secureContext: SecureContext) {
    this.#port = port
    this.#secureContext = secureContext
  }

  /** Whether it came to its end, with one byte there and back. */
  handshake(): Promise<boolean> {
    const session = this.#session
    this.#session = undefined
    // Nobody is there to be deceived: the certificate names nobody.
    const options = {
      host: HOST,
      port: this.#port,
      secureContext: this.#secureContext,
      rejectUnauthorized: false,
    }
    return new Promise((resolve) => {
      let isDone = false
      const socket: TLSSocket = connect({ ...options, session }, () => socket.write('.'))
      socket.on('session', (ticket: Buffer) => {
        if (session === undefined) this.#session = ticket
      })
      socket.on('data', () => {
        isDone = true
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(isDone))
    })
  }
}

// ── a site of nobody ────────────────────────────────────────────────────────────────────────────────────────────────

function throwAwaySite(): TlsServerOptions {
  const { spki, privateKey } = generateSignatureKey('prime256v1')
  const publicKey = importPublicKey(spki)
  if (publicKey === undefined) throw new Error('a key that was just made cannot be read')
  const certificate = selfSigned(spki, (content) =>
    signContent(privateKey, { hash: 'sha256', pss: false }, content),
  )
  const credential = loadCredential({ chain: pem(certificate) })
  const signer = createLocalSigner([{ privateKey, publicKey }])
  return {
    certificates: { select: () => [credential] },
    // As signers do whose key is elsewhere: later.
    signer: { sign: async (request, signal) => signer.sign(request, signal) },
  }
}

/** ecdsa-with-SHA256. RFC 5758 §3.2. */
const ALGORITHM = Uint8Array.of(0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2)
const INTEGER = 2
const BIT_STRING = 3
const UTC_TIME = 0x17
const SEQUENCE = 0x30

/** Certificate of version 1, without names: RFC 5280 §4.1 with nothing that may be left out. */
function selfSigned(spki: Uint8Array, sign: (content: Uint8Array) => Uint8Array): Uint8Array {
  const nobody = der(SEQUENCE)
  const validity = der(SEQUENCE, der(UTC_TIME, ascii('000101000000Z')), der(UTC_TIME, ascii('491231235959Z')))
  const content = der(SEQUENCE, der(INTEGER, Uint8Array.of(1)), ALGORITHM, nobody, validity, nobody, spki)
  return der(SEQUENCE, content, ALGORITHM, der(BIT_STRING, Uint8Array.of(0), sign(content)))
}

/** X.690 §8.1, contents of less than 64 kB. */
function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const bytes = Buffer.concat(contents)
  const { length } = bytes
  const head = length < 0x80 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Uint8Array.from(head), bytes])
}

function ascii(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

function pem(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('base64')
  return `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`
}

// Sessions resumed by ticket, with node:tls as the client: no certificate, no signature, a fresh key exchange.
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { before, test } from 'node:test'
import { connect, type ConnectionOptions } from 'node:tls'
import { createThrowawayCa, type ThrowawayCa } from '@latchkey/throwaway-pki'
import {
  type Credential,
  createLocalSigner,
  createTicketKeyring,
  createTlsServer,
  loadCredential,
  type Signer,
  TicketSealer,
  type TlsServerOptions,
  type TlsSocket,
} from '../src/index.ts'
import { publicRandom } from '../src/crypto-provider.ts'

const HOUR_MS = 3_600_000
let ca: ThrowawayCa
let credential: Credential
let other: Credential
let signer: Signer

before(async () => {
  ca = await createThrowawayCa({})
  const issued = await ca.issue({ dnsNames: ['a.test', 'b.test'] })
  const again = await ca.issue({ dnsNames: ['a.test', 'b.test'] })
  credential = loadCredential({ chain: issued.chainPem })
  other = loadCredential({ chain: again.chainPem })
  const key = ({ privateKeyPem, chainPem }: typeof issued) => ({
    privateKey: createPrivateKey(privateKeyPem),
    publicKey: createPublicKey(chainPem),
  })
  signer = createLocalSigner([key(issued), key(again)])
})

/** Counts what it is asked for, and may be told to fail. */
class CountingSigner implements Signer {
  calls = 0
  isDown = false
  sign(...[request, signal]: Parameters<Signer['sign']>): ReturnType<Signer['sign']> {
    this.calls++
    if (this.isDown) throw new Error('every key server is down')
    return signer.sign(request, signal)
  }
}

class Bench implements AsyncDisposable {
  readonly signer = new CountingSigner()
  now = 1_800_000_000_000
  credentials: readonly Credential[] = [credential]
  #servers: ReturnType<typeof createTlsServer>[] = []
  readonly sealer = new TicketSealer({
    keyring: createTicketKeyring({ clock: () => this.now }),
    random: publicRandom,
    clock: () => this.now,
  })

  async listen(options: Partial<TlsServerOptions> = {}): Promise<number> {
    const certificates = { select: () => this.credentials }
    const defaults = { certificates, signer: this.signer, tickets: this.sealer, clock: () => this.now }
    const server = createTlsServer({ ...defaults, ...options }, (socket: TlsSocket) => {
      socket.end(
        JSON.stringify({
          isResumed: socket.isSessionReused(),
          scheme: socket.session.signatureScheme ?? null,
        }),
      )
    })
    this.#servers.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  /** One visit: whether it was resumed, by both ends, and the session for the next. */
  async visit(
    port: number,
    options: ConnectionOptions = {},
  ): Promise<{ isResumed: boolean; session: Buffer }> {
    const client = connect({
      host: '127.0.0.1',
      port,
      servername: 'a.test',
      ca: ca.certificatePem,
      ...options,
    })
    let session: Buffer | undefined
    let isReused: boolean | undefined
    client.once('secureConnect', () => {
      isReused = client.isSessionReused()
    })
    client.on('session', (ticket) => {
      session = ticket
    })
    const text = String(Buffer.concat(await client.toArray()))
    const { isResumed, scheme } = JSON.parse(text) as { isResumed: boolean; scheme: string | null }
    assert.equal(isReused, isResumed)
    assert.equal(scheme === null, isResumed)
    assert.ok(session !== undefined, 'a ticket came')
    return { isResumed, session }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.close()
  }
}

test('row 42: a resumed handshake asks for no signature, and works while every signer is down', async () => {
  await using bench = new Bench()
  const port = await bench.listen()
  const first = await bench.visit(port)
  assert.deepEqual([first.isResumed, bench.signer.calls], [false, 1])
  bench.signer.isDown = true
  let { session } = first
  for (let visit = 0; visit < 3; visit++) {
    const next = await bench.visit(port, { session })
    assert.equal(next.isResumed, true)
    ;({ session } = next)
  }
  assert.equal(bench.signer.calls, 1)
})

for (const ciphers of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
  for (const ecdhCurve of ['X25519', 'P-256', 'P-384:P-256']) {
    test(`resumed with ${ciphers} and ${ecdhCurve}`, async () => {
      await using bench = new Bench()
      const port = await bench.listen()
      const { session } = await bench.visit(port, { ciphers, ecdhCurve })
      assert.equal((await bench.visit(port, { ciphers, ecdhCurve, session })).isResumed, true)
    })
  }
}

test('a session resumes on any server that shares the keys', async () => {
  await using bench = new Bench()
  const [one, two] = [await bench.listen(), await bench.listen()]
  const { session } = await bench.visit(one)
  assert.equal((await bench.visit(two, { session })).isResumed, true)
})

/** What makes a ticket useless: a full handshake follows, never an alert. */
const USELESS: readonly [string, (bench: Bench) => Promise<{ port: number; options?: ConnectionOptions }>][] =
  [
    [
      'after 18 hours',
      async (bench) => {
        const port = await bench.listen()
        return { port, options: { session: await later(bench, port, 18 * HOUR_MS + 1) } }
      },
    ],
    [
      'for another name',
      async (bench) => {
        const port = await bench.listen()
        const { session } = await bench.visit(port)
        return { port, options: { session, servername: 'b.test' } }
      },
    ],
    [
      'for another tenant',
      async (bench) => {
        const { session } = await bench.visit(await bench.listen())
        return { port: await bench.listen({ ticketTenant: 'other' }), options: { session } }
      },
    ],
    [
      'when the certificate has another key now',
      async (bench) => {
        const port = await bench.listen()
        const { session } = await bench.visit(port)
        bench.credentials = [other]
        return { port, options: { session } }
      },
    ],
    [
      'at a server with keys of its own',
      async (bench) => {
        const { session } = await bench.visit(await bench.listen())
        return { port: await bench.listen({ tickets: new Bench().sealer }), options: { session } }
      },
    ],
    [
      'with a suite of another hash',
      async (bench) => {
        const port = await bench.listen()
        const { session } = await bench.visit(port, { ciphers: 'TLS_AES_128_GCM_SHA256' })
        return {
          port: await bench.listen({ cipherSuites: ['TLS_AES_256_GCM_SHA384'] }),
          options: { session },
        }
      },
    ],
  ]
async function later(bench: Bench, port: number, ms: number): Promise<Buffer> {
  const { session } = await bench.visit(port)
  bench.now += ms
  return session
}

for (const [name, prepare] of USELESS) {
  test(`row 22: a ticket is of no use ${name}`, async () => {
    await using bench = new Bench()
    const { port, options } = await prepare(bench)
    const before = bench.signer.calls
    assert.equal((await bench.visit(port, options)).isResumed, false)
    assert.equal(bench.signer.calls, before + 1)
  })
}

test('a ticket is good for 18 hours, and a chain of resumptions cannot make it more', async () => {
  await using bench = new Bench()
  const port = await bench.listen()
  let { session } = await bench.visit(port)
  bench.now += 10 * HOUR_MS
  const second = await bench.visit(port, { session })
  assert.equal(second.isResumed, true)
  ;({ session } = second)
  bench.now += 8 * HOUR_MS
  const third = await bench.visit(port, { session })
  assert.equal(third.isResumed, true)
  bench.now += 1
  assert.equal((await bench.visit(port, { session: third.session })).isResumed, false)
})

test('without a sealer there are no tickets', async () => {
  await using bench = new Bench()
  const port = await bench.listen({ tickets: false })
  const client = connect({ host: '127.0.0.1', port, servername: 'a.test', ca: ca.certificatePem })
  let tickets = 0
  client.on('session', () => tickets++)
  await client.toArray()
  assert.equal(tickets, 0)
})

test('a client that waits for a ticket before it says anything gets one', async () => {
  const server = createTlsServer({ certificates: { select: () => [credential] }, signer }, () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connect({ port, host: '127.0.0.1', servername: 'a.test', ca: ca.certificatePem })
  try {
    const [session] = (await once(client, 'session', { signal: AbortSignal.timeout(5000) })) as [Buffer]
    assert.ok(session.length > 0)
  } finally {
    client.destroy()
    server.close()
    await once(server, 'close')
  }
})

// An edge whose key is at four real key servers, behind links of 2, 20, 80 and 250 ms round trip that break in every way.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:tls'
import { silentLogger } from '@latchkey/core'
import { createEdge, type Edge } from '@latchkey/edge'
import { type KeyStore, openFileStore, type PrivateKey } from '@latchkey/keys'
import { createKeyServer } from '@latchkey/keyserver'
import { createThrowawayCa } from '@latchkey/throwaway-pki'
import { ShapedLink } from './support/shaped-link.ts'

const SITE = 'network.site.test'
const ROUND_TRIPS_MS = [250, 2, 80, 20] as const

/** A home that does one signature at a time, and each takes so long: an HSM that is busy. */
class SerialHome implements Pick<KeyStore, 'find'> {
  slowMs = 0
  readonly #store: KeyStore
  #last: Promise<unknown> = Promise.resolve()

  constructor(store: KeyStore) {
    this.#store = store
  }

  async find(ski: Uint8Array): Promise<PrivateKey | undefined> {
    const key = await this.#store.find(ski)
    if (key === undefined || this.slowMs === 0) return key
    const { keyType, publicKey, algorithms, source } = key
    return {
      ski,
      keyType,
      publicKey,
      algorithms,
      source,
      sign: (...operation) => this.#inTurn(key, operation),
    }
  }

  #inTurn(key: PrivateKey, operation: Parameters<PrivateKey['sign']>): Promise<Uint8Array> {
    const turn = this.#last.then(async () => {
      await delay(this.slowMs)
      return key.sign(...operation)
    })
    this.#last = turn.catch(() => {})
    return turn
  }
}

interface Place {
  readonly rttMs: number
  readonly link: ShapedLink
  readonly home: SerialHome
  /** Answers before {@link forget}. */
  forgotten: number
}

let caPem: string
let edge: Edge
let edgePort: number
const places: Place[] = []
const stack = new AsyncDisposableStack()
before(async () => {
  const publicCa = await createThrowawayCa()
  const linkCa = await createThrowawayCa()
  caPem = publicCa.certificatePem
  const site = await publicCa.issue({ dnsNames: [SITE] })
  const server = await linkCa.issue({ ipAddresses: ['127.0.0.1'] })
  const client = await linkCa.issue({ commonName: 'edge', extendedKeyUsages: ['clientAuth'] })
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-network-'))
  stack.defer(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'site.key')
  writeFileSync(file, site.privateKeyPem, { mode: 0o600 })
  const store = stack.use(await openFileStore([{ file }]))
  for (const rttMs of ROUND_TRIPS_MS) {
    const home = new SerialHome(store)
    const tls = { cert: server.chainPem, key: server.privateKeyPem, ca: linkCa.certificatePem }
    const keyServer = createKeyServer({
      ...tls,
      keyStore: home,
      logger: silentLogger,
    })
    stack.defer(() => keyServer.close({ drainMs: 100 }))
    const { port } = await keyServer.listen({ port: 0 })
    const link = stack.use(await ShapedLink.start(port, { delayMs: rttMs / 2 }))
    places.push({ rttMs, link, home, forgotten: 0 })
  }
  const origin = createServer((_request, response) => response.end())
  origin.listen(0, '127.0.0.1')
  await once(origin, 'listening')
  stack.defer(() => void origin.close())
  edge = stack.use(
    createEdge({
      hosts: [
        {
          serverNames: [SITE],
          certificateChains: [site.chainPem],
          keyServers: places.map(({ link }) => ({ host: '127.0.0.1', port: link.port })),
          origin: new URL(`http://127.0.0.1:${(origin.address() as AddressInfo).port}`),
        },
      ],
      keyServerTls: { ca: linkCa.certificatePem, cert: client.chainPem, key: client.privateKeyPem },
      listen: { port: 0 },
    }),
  )
  edgePort = (await edge.listen()).port
  await delay(1000) // each is measured
})
after(() => stack.disposeAsync())

interface Outcome {
  readonly ms: number
  readonly error: string | undefined
}

function handshake(): Promise<Outcome> {
  const startedAt = performance.now()
  return new Promise((resolve) => {
    const end = (error: string | undefined): void => {
      socket.destroy()
      resolve({ ms: performance.now() - startedAt, error })
    }
    const socket = connect({ host: '127.0.0.1', port: edgePort, servername: SITE, ca: caPem })
    socket.once('secureConnect', () => end(undefined))
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
  })
}

/** Fifty full handshakes a second. */
async function load(seconds: number): Promise<Outcome[]> {
  const outcomes: Promise<Outcome>[] = []
  for (let n = 0; n < seconds * 50; n++) {
    outcomes.push(handshake())
    await delay(20)
  }
  return Promise.all(outcomes)
}

function answersOf({ link, forgotten }: Place): number {
  const seen = edge.keyServers().find(({ address }) => address.endsWith(`:${link.port}`))
  return (seen?.answers ?? 0) - forgotten
}

function forget(): void {
  for (const place of places) place.forgotten += answersOf(place)
}

/** Of the answers that were used: some are asked of a second one as well. */
function share(rttMs: number): number {
  const all = places.reduce((sum, place) => sum + answersOf(place), 0)
  return answersOf(at(rttMs)) / all
}

function at(rttMs: number): Place {
  return places.find((place) => place.rttMs === rttMs) as Place
}

function failed(outcomes: readonly Outcome[]): string[] {
  return outcomes.flatMap(({ error }) => error ?? [])
}

test('the nearest is asked, at least 99 times of 100', async () => {
  forget()
  assert.deepEqual(failed(await load(6)), [])
  assert.ok(share(2) >= 0.99, `${share(2)}`)
})

test('busy with more than it can do: the rest goes to the next one, and comes back when there is room', async () => {
  at(2).home.slowMs = 100 // ten a second, where fifty are asked
  const outcomes = await load(6)
  assert.deepEqual(failed(outcomes), [])
  forget()
  const later = await load(4)
  assert.deepEqual(failed(later), [])
  assert.ok(share(20) > 0.7, `${share(20)}`)
  const times = later.map(({ ms }) => ms).toSorted((a, b) => a - b)
  assert.ok((times[Math.floor(times.length * 0.9)] ?? 0) < 250, `${times.at(-1)}`)
  at(2).home.slowMs = 0
  const until = performance.now() + 40_000
  do {
    forget()
    assert.deepEqual(failed(await load(1)), [])
  } while (share(2) < 0.9 && performance.now() < until)
  assert.ok(share(2) >= 0.9, `${share(2)}`)
})

test('cut off: no handshake fails, and all is at the next one within a second', async () => {
  const running = load(2)
  await delay(500)
  await at(2).link.cut()
  await delay(1000)
  forget()
  assert.deepEqual(failed(await running), [])
  assert.deepEqual(failed(await load(2)), [])
  assert.ok(share(20) >= 0.99, `${share(20)}`)
})

test('back again: it is used', async () => {
  at(2).link.mend()
  const until = performance.now() + 40_000
  do {
    forget()
    assert.deepEqual(failed(await load(1)), [])
  } while (share(2) < 0.9 && performance.now() < until)
  assert.ok(share(2) >= 0.9, `${share(2)}`)
})

test('a black hole: no handshake fails, none waits for more than one hedge', async () => {
  assert.deepEqual(failed(await load(2)), [])
  at(2).link.blackHole()
  const outcomes = await load(4)
  assert.deepEqual(failed(outcomes), [])
  const slowest = Math.max(...outcomes.map(({ ms }) => ms))
  // 250 ms at most until the second is asked, 20 ms to it, and the machine's own time.
  assert.ok(slowest < 250 + 20 + 150, `${slowest}`)
  forget()
  assert.deepEqual(failed(await load(2)), [])
  assert.ok(share(20) >= 0.99, `${share(20)}`)
  assert.ok(edge.keyServers().some(({ isEjected }) => isEjected))
})

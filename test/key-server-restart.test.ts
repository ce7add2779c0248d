// A key server that is gone: handshakes fail at once with an alert, and succeed again soon after it is back.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { connect } from 'node:tls'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startSystem, type System } from './support/system.ts'

const SITE = 'ecdsa-p256.site.test'
/** What a client is told when the signer failed: RFC 8446 §6.2 internal_error, as OpenSSL names it. */
const INTERNAL_ERROR = 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR'
const BACK_WITHIN_MS = 2000
/** How long the edge waits for the other side's goodbye. */
const LINGER_MS = 2000

let system: System
before(async () => {
  system = await startSystem({
    keyAlgorithms: ['ecdsa-p256'],
    origin: (_request, response) => response.end('page'),
  })
})
after(() => system[Symbol.asyncDispose]())

interface Outcome {
  readonly at: number
  readonly ms: number
  /** undefined: the handshake completed. */
  readonly error: string | undefined
}

test('killed and restarted under load', async () => {
  await handshake()
  const descriptorsBefore = openDescriptors(system.edge.pid)
  const outcomes: Outcome[] = []
  const stop = new AbortController()
  const worker = async (): Promise<void> => {
    while (!stop.signal.aborted) outcomes.push(await handshake())
  }
  const load = Promise.all(Array.from({ length: 8 }, worker))

  await delay(500)
  await system.killKeyServer()
  const killedAt = performance.now()
  await delay(1500)
  const restartedAt = performance.now()
  await system.restartKeyServer()
  const backAt = performance.now()
  await delay(BACK_WITHIN_MS + 1000)
  stop.abort()
  await load

  const during = (from: number, to: number): Outcome[] =>
    outcomes.filter(({ at, ms }) => at > from && at + ms < to)
  const before = during(0, killedAt - 100)
  assert.ok(before.length > 20 && before.every(({ error }) => error === undefined), 'all is well before')

  const down = during(killedAt + 50, restartedAt)
  assert.ok(down.length > 0, 'there was load while it was down')
  for (const { error, ms } of down) {
    assert.equal(error, INTERNAL_ERROR)
    assert.ok(ms < 1000, `a failing handshake took ${ms} ms`)
  }

  const settled = outcomes.filter(({ at }) => at > backAt + BACK_WITHIN_MS)
  assert.ok(settled.length > 20, 'there was load after')
  assert.deepEqual(
    settled.filter(({ error }) => error !== undefined),
    [],
    'all succeed two seconds after its return',
  )
  const first = outcomes.find(({ at, error }) => at > restartedAt && error === undefined)
  assert.ok(first !== undefined)
  const slowest = Math.max(...outcomes.map(({ ms }) => ms))
  assert.ok(slowest < 5000, `nothing hangs: the slowest took ${slowest} ms`)
  // Both sides have said goodbye, or the edge has stopped waiting for it.
  await delay(LINGER_MS + 500)
  const descriptors = openDescriptors(system.edge.pid)
  assert.ok(
    descriptors <= descriptorsBefore + 2,
    `${descriptors} open descriptors, ${descriptorsBefore} before`,
  )
  console.log(
    `${down.length} refused while down, the slowest in ${Math.max(...down.map(({ ms }) => ms)).toFixed(0)} ms; ` +
      `first success ${(first.at + first.ms - backAt).toFixed(0)} ms after it listened again`,
  )
})

/** Sockets, files and pipes of a process, from /proc (Linux). */
function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** One full handshake, then goodbye. */
function handshake(): Promise<Outcome> {
  return new Promise((resolve) => {
    const at = performance.now()
    let error: string | undefined
    const socket = connect(
      { host: '127.0.0.1', port: system.edgePort, servername: SITE, ca: system.caPem },
      () => socket.end(),
    )
    socket.once('error', (cause: NodeJS.ErrnoException) => {
      error = cause.code
    })
    socket.once('close', () => resolve({ at, ms: performance.now() - at, error }))
    socket.resume()
  })
}

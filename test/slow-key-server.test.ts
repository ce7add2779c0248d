// Other connections go on while signatures travel: a thousand handshakes wait together, not one after the other.
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'node:test'
import type { HandshakeLoad, HandshakeReport } from './processes/handshake-client.ts'
import { Child } from './support/child.ts'
import { startLink } from './support/link.ts'

const HANDSHAKES = 1000
const DELAY_MS = 200
const MAX_HOLD_UP_MS = 50
/** What two runs of a thousand may differ by for other reasons, on a busy machine of two cores. */
const NOISE_SECONDS = 1
/** One P-256 signature of `node:crypto` on the machine that the limits are for. */
const USUAL_SIGNATURE_US = 25
const SAMPLE = 2000
const CLIENT = new URL('processes/handshake-client.ts', import.meta.url)

test('1,000 handshakes in flight while the key server answers after 200 ms', async () => {
  const atOnce = await thousandHandshakes(0)
  const slowness = machineSlowness()
  const maxHoldUpMs = MAX_HOLD_UP_MS * slowness
  const delayed = await leastHeldUp(() => thousandHandshakes(DELAY_MS), maxHoldUpMs)
  assert.ok(
    delayed.longestMs < maxHoldUpMs,
    `the edge's event loop was held up for ${delayed.longestMs.toFixed(1)} ms of ${maxHoldUpMs.toFixed(0)}`,
  )
  const addedSeconds = delayed.seconds - atOnce.seconds
  assert.ok(
    addedSeconds < DELAY_MS / 1000 + NOISE_SECONDS * slowness,
    `the delay added ${addedSeconds.toFixed(2)} s`,
  )
  console.log(
    `1,000 handshakes: ${atOnce.seconds.toFixed(2)} s without delay, ${delayed.seconds.toFixed(2)} s with 200 ms; ` +
      `event loop held up at most ${delayed.longestMs.toFixed(1)} ms`,
  )
})

/** How many times longer than where the limits were found a signature takes here and now; at least 1. */
function machineSlowness(): number {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const startedAt = performance.now()
  for (let count = 0; count < SAMPLE; count++) sign('sha256', Buffer.alloc(32), privateKey)
  const usPerSignature = ((performance.now() - startedAt) * 1000) / SAMPLE
  return Math.max(1, usPerSignature / USUAL_SIGNATURE_US)
}

/** Whoever else uses the two cores can only add to how long our event loop was held up: the best of three tries is ours. */
async function leastHeldUp(run: () => Promise<Run>, limitMs: number): Promise<Run> {
  let best = await run()
  for (let tries = 1; tries < 3 && best.longestMs >= limitMs; tries++) {
    const next = await run()
    if (next.longestMs < best.longestMs) best = next
  }
  return best
}

interface Run {
  readonly seconds: number
  readonly longestMs: number
}

/** All in flight at once, on a warm edge; all must complete. */
async function thousandHandshakes(delayMs: number): Promise<Run> {
  await using link = await startLink({ delayMs, origin: 'http://127.0.0.1:9' })
  const warmUp: HandshakeLoad = {
    port: link.edgePort,
    serverName: link.serverName,
    ca: link.caPem,
    count: 400,
    concurrency: 200,
  }
  const { child: clients } = await Child.start<HandshakeReport>(CLIENT, warmUp)
  await using _clients = clients
  await link.edge.ask({ longest: true })
  const load = { ...warmUp, count: HANDSHAKES, concurrency: HANDSHAKES }
  const { completed, failed, seconds } = await clients.ask<HandshakeReport>(load)
  const { longestMs } = await link.edge.ask<{ longestMs: number }>({ longest: true })
  assert.deepEqual(failed, {})
  assert.equal(completed, HANDSHAKES)
  return { seconds, longestMs }
}

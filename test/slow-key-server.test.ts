// Other connections go on while signatures travel: a thousand handshakes wait together, not one after the other.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HandshakeLoad, HandshakeReport } from './processes/handshake-client.ts'
import { Child } from './support/child.ts'
import { startLink } from './support/link.ts'

const HANDSHAKES = 1000
const DELAY_MS = 200
const MAX_HOLD_UP_MS = 50
const CLIENT = new URL('processes/handshake-client.ts', import.meta.url)

test('1,000 handshakes in flight while the key server answers after 200 ms', async () => {
  await using link = await startLink({ delayMs: DELAY_MS, origin: 'http://127.0.0.1:9' })
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

  const report = await clients.ask<HandshakeReport>({ ...warmUp, count: HANDSHAKES, concurrency: HANDSHAKES })
  const { longestMs } = await link.edge.ask<{ longestMs: number }>({ longest: true })

  assert.deepEqual(report.failed, {})
  assert.equal(report.completed, HANDSHAKES)
  assert.ok(longestMs < MAX_HOLD_UP_MS, `the edge's event loop was held up for ${longestMs.toFixed(1)} ms`)
  // One delay and the clients' own work (about a millisecond each), nowhere near a thousand delays of 200 ms.
  assert.ok(report.seconds < DELAY_MS / 1000 + 4, `${report.seconds.toFixed(2)} s in all`)
  console.log(
    `1,000 handshakes in ${report.seconds.toFixed(2)} s, event loop held up at most ${longestMs.toFixed(1)} ms`,
  )
})

// A day and more of one server, its clock passed in: ticket keys rotate by the hour, and a ticket is good to the last
// millisecond of its 18 hours and not after.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createTicketKeyring, TicketSealer } from '@latchkey/tls'
import { toHex, u8 } from './support/bytes.ts'
import type { ClientSession } from './support/client-psk.ts'
import { EXTENSION } from './support/code-points.ts'
import { testContext, Wire } from './support/harness.ts'
import { assertEstablished } from './support/outcome.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const LIFE_MS = 18 * HOUR_MS
const STEP_MS = 10 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

const MODES = { type: EXTENSION.psk_key_exchange_modes, body: Uint8Array.of(1, 1) }

test('44 hours: tickets of a whole day, each tried in its last millisecond and in the next', () => {
  // Not on the hour: keys rotate an hour after the first was made.
  const start = 1_800_000_000_000 + 7 * MINUTE_MS
  let now = start
  const clock = (): number => now
  const keyring = createTicketKeyring({ clock })
  const tickets = new TicketSealer({ keyring, random: (count) => new Uint8Array(randomBytes(count)), clock })
  const context = testContext({ tickets, clock })

  /** A visit with a ticket of before, or without: whether it was resumed, and the ticket that came of it. */
  const visit = (session?: ClientSession): { isResumed: boolean; session: ClientSession } => {
    const wire = new Wire({
      context,
      ...(session === undefined ? { hello: { extra: [MODES] } } : { psks: { sessions: [session] } }),
    }).start()
    wire.server.send([u8(0)])
    wire.run().client.data.length = 0
    assertEstablished(wire)
    const isResumed = wire.session?.isResumed === true
    assert.equal(wire.signCalls.length, isResumed ? 0 : 1)
    const [next] = wire.client.sessions
    assert.ok(next !== undefined)
    return { isResumed, session: next }
  }

  const issued = new Map<number, ClientSession>()
  const rootIds = new Set<string>()
  // A client that comes back every ten minutes with the ticket of its last visit.
  let regular = visit()
  let authenticatedAt = now
  let fullHandshakes = 1
  for (now = start + STEP_MS; now <= start + DAY_MS + LIFE_MS + STEP_MS; now += STEP_MS) {
    if (now <= start + DAY_MS) {
      const { session } = visit()
      issued.set(now, session)
      rootIds.add(toHex(session.ticket.subarray(1, 5)))
    }
    const old = issued.get(now - LIFE_MS)
    if (old !== undefined) {
      assert.equal(visit(old).isResumed, true, 'in its last millisecond')
      now += 1
      assert.equal(visit(old).isResumed, false, 'a millisecond later')
      now -= 1
    }
    // A chain of resumptions lives as long as one ticket: from the full handshake on.
    regular = visit(regular.session)
    const isDue = now - authenticatedAt > LIFE_MS
    assert.equal(regular.isResumed, !isDue, `${(now - start) / MINUTE_MS} minutes after the start`)
    if (isDue) {
      authenticatedAt = now
      fullHandshakes++
    }
    const keys = keyring.list()
    assert.ok(keys.length <= 20, `${keys.length} keys`)
    for (const { secret } of keys) secret.fill(0)
  }
  assert.equal(issued.size, DAY_MS / STEP_MS)
  assert.equal(rootIds.size, 25, 'one key an hour, and a part of the first')
  assert.equal(fullHandshakes, 3)
})

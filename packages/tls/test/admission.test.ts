// What is let in: refused after everything free, before anything asymmetric, in both versions.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { BucketRate, ServerContext } from '@latchkey/tls'
import type { NamedGroup } from '../src/handshake/named-group.ts'
import { GROUP } from './support/code-points.ts'
import { type ContextOptions, testContext, Wire, Wire12 } from './support/harness.ts'
import { assertEstablished, assertRefused } from './support/outcome.ts'
import { connectTls, dial, event, startTls, until } from './support/socket-server.ts'

const ONE: BucketRate = { perSecond: 0, burst: 1 }

/** A context whose key exchanges are counted. */
function counted(options: ContextOptions): { context: ServerContext; exchanges: () => number } {
  let exchanges = 0
  const groups = ['x25519', 'secp256r1', 'secp384r1'] as const
  const exchangeKeys = (group: NamedGroup, share: Uint8Array): ReturnType<NamedGroup['exchange']> => {
    exchanges++
    return group.exchange(share)
  }
  return { context: testContext({ groups, exchangeKeys, ...options }), exchanges: () => exchanges }
}

for (const [name, connect] of [
  ['TLS 1.3', (context: ServerContext) => new Wire({ context }).start()],
  ['TLS 1.3 after a retry', (context: ServerContext) => new Wire({ context, shares: [] }).start()],
  ['TLS 1.2', (context: ServerContext) => new Wire12({ context }).start()],
] as const) {
  test(`admission: one full handshake of ${name} more than there are tokens is refused`, () => {
    const { context, exchanges } = counted({ admission: { full: { perSource: ONE } } })
    assertEstablished(connect(context))
    const before = exchanges()
    const refused = connect(context)
    assertRefused(refused, 'internal_error')
    assert.equal(refused.error?.code, 'ERR_TLS_NOT_ADMITTED')
    assert.equal(exchanges(), before, 'no key exchange')
  })
}

test('admission: tokens come back with the clock', () => {
  let now = 1000
  const admission = { full: { total: { perSecond: 2, burst: 1 } } }
  const context = testContext({ admission, monotonicClock: () => now })
  assertEstablished(new Wire({ context }).start())
  assertRefused(new Wire({ context }).start(), 'internal_error')
  now += 500
  assertEstablished(new Wire({ context }).start())
})

test('admission: who cannot be served takes no token', () => {
  const { context } = counted({ admission: { full: { total: ONE } } })
  assertRefused(new Wire({ context, hello: { schemes: [] } }).start(), 'decode_error')
  assertRefused(new Wire({ context, hello: { schemes: [0x0808] } }).start(), 'handshake_failure')
  assertRefused(new Wire({ context, hello: { serverName: 'other.test' } }).start(), 'unrecognized_name')
  assertEstablished(new Wire({ context }).start())
})

test('admission: secp384r1 has tokens of its own in both versions', () => {
  const { context } = counted({ kinds: ['rsa2048'], admission: { secp384r1: { perSecond: 0, burst: 2 } } })
  const groups = [GROUP.secp384r1]
  const expensive13 = () => new Wire({ context, shares: groups, hello: { groups } }).start()
  const expensive12 = () => new Wire12({ context, hello: { groups } }).start()
  assertEstablished(expensive13())
  assertEstablished(expensive12())
  assertRefused(expensive13(), 'internal_error')
  assertRefused(expensive12(), 'internal_error')
  assertEstablished(new Wire({ context }).start())
})

test('admission: a ticket gets in when full handshakes do not, as long as resumptions have tokens', async () => {
  await using server = await startTls((socket) => socket.end('served'), {
    admission: { full: { total: ONE }, resumed: { total: ONE } },
  })
  const session = await sessionOf(await connectTls(server.port))
  const resumed = await connectTls(server.port, { session })
  assert.equal(resumed.isSessionReused(), true)
  await event(resumed, 'data')
  resumed.destroy()
  for (const options of [{}, { session }]) {
    const refused = dial(server.port, options)
    await until(() => refused.destroyed)
  }
  await until(() => server.failures.length === 2)
  assert.deepEqual(
    server.failures.map(({ code, detail }) => `${code}: ${detail}`),
    ['ERR_TLS_NOT_ADMITTED: full handshakes', 'ERR_TLS_NOT_ADMITTED: resumptions'],
  )
})

async function sessionOf(client: TLSSocket): Promise<Buffer> {
  const [session] = await event(client, 'session')
  client.destroy()
  return session as Buffer
}

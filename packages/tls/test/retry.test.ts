// What a second ClientHello may change, and what not. RFC 8446 §4.1.2, §4.1.4.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ascii, concat, flipped, toHex, u16, u8, vector16, vector8 } from './support/bytes.ts'
import { clientKey } from './support/client-crypto.ts'
import { encodeHello, type Hello, numbers16 } from './support/client-hello.ts'
import {
  type AlertText,
  EXTENSION,
  GROUP,
  MESSAGE,
  RECORD,
  RETRY_RANDOM,
  SUITE,
} from './support/code-points.ts'
import { testContext, Wire, type WireOptions } from './support/harness.ts'
import { offeredPsks } from './support/offered-psks.ts'
import { assertRefused } from './support/outcome.ts'
import { grease } from './support/test-client.ts'

/** A client whose first hello has no share. */
function retrying(options: WireOptions): Wire {
  return new Wire({ shares: [], ...options }).start()
}

function assertAccepted(wire: Wire): void {
  assert.equal(wire.error, undefined)
  assert.equal(wire.establishedCount, 1)
  assert.equal(wire.client.retries, 1)
  assert.equal(wire.session?.usedHelloRetryRequest, true)
}

const FIRST: Partial<Hello> = { alpn: ['http/1.1', 'h2'] }

interface Change {
  readonly name: string
  readonly first?: Partial<Hello>
  readonly second: (hello: Hello) => Hello
  readonly alert: AlertText
}

const CHANGES: readonly Change[] = [
  {
    name: 'legacy_version',
    second: (hello) => ({ ...hello, legacyVersion: 0x0302 }),
    alert: 'illegal_parameter',
  },
  {
    name: 'random',
    second: (hello) => ({ ...hello, random: flipped(hello.random, 31) }),
    alert: 'illegal_parameter',
  },
  {
    name: 'session id',
    second: (hello) => ({ ...hello, sessionId: flipped(hello.sessionId, 0) }),
    alert: 'illegal_parameter',
  },
  {
    name: 'no session id',
    second: (hello) => ({ ...hello, sessionId: new Uint8Array(0) }),
    alert: 'illegal_parameter',
  },
  {
    name: 'one suite less',
    second: (hello) => ({ ...hello, suites: hello.suites.slice(0, 2) }),
    alert: 'illegal_parameter',
  },
  {
    name: 'one suite more',
    second: (hello) => ({ ...hello, suites: [...hello.suites, grease(1)] }),
    alert: 'illegal_parameter',
  },
  {
    name: 'suites in another order',
    second: (hello) => ({ ...hello, suites: hello.suites.toReversed() }),
    alert: 'illegal_parameter',
  },
  {
    name: 'extensions in another order',
    second: (hello) => ({ ...hello, arrange: (all) => all.toReversed() }),
    alert: 'illegal_parameter',
  },
  {
    name: 'server name',
    second: (hello) => ({ ...hello, serverName: 'a.example.com' }),
    alert: 'illegal_parameter',
  },
  {
    name: 'no server name',
    second: (hello) => ({ ...hello, serverName: undefined }),
    alert: 'illegal_parameter',
  },
  { name: 'ALPN', second: (hello) => ({ ...hello, alpn: ['http/1.1'] }), alert: 'illegal_parameter' },
  { name: 'no ALPN', second: (hello) => ({ ...hello, alpn: undefined }), alert: 'illegal_parameter' },
  {
    name: 'groups',
    second: (hello) => ({ ...hello, groups: [GROUP.x25519] }),
    alert: 'illegal_parameter',
  },
  {
    name: 'schemes',
    second: (hello) => ({ ...hello, schemes: hello.schemes?.toReversed() }),
    alert: 'illegal_parameter',
  },
  {
    name: 'versions',
    second: (hello) => ({ ...hello, versions: [0x0304, 0x0303] }),
    alert: 'illegal_parameter',
  },
  {
    name: 'an extension more',
    second: (hello) => ({ ...hello, extra: [{ type: 0x1234, body: u8(0) }] }),
    alert: 'illegal_parameter',
  },
  {
    name: 'an unknown extension changed',
    first: { extra: [{ type: 0x1234, body: u8(0) }] },
    second: (hello) => ({ ...hello, extra: [{ type: 0x1234, body: u8(1) }] }),
    alert: 'illegal_parameter',
  },
  {
    name: 'a GREASE extension gone',
    first: { extra: [{ type: grease(2), body: u8(0) }] },
    second: (hello) => ({ ...hello, extra: [] }),
    alert: 'illegal_parameter',
  },
  {
    name: 'a cookie nobody gave',
    second: (hello) => ({ ...hello, extra: [{ type: EXTENSION.cookie, body: vector16(u8(1)) }] }),
    alert: 'illegal_parameter',
  },
  {
    name: 'a share more',
    second: (hello) => ({
      ...hello,
      keyShares: [...(hello.keyShares ?? []), clientKey(GROUP.secp256r1)],
    }),
    alert: 'illegal_parameter',
  },
  {
    name: 'a share of another group',
    second: (hello) => ({ ...hello, keyShares: [clientKey(GROUP.secp256r1)] }),
    alert: 'illegal_parameter',
  },
  { name: 'again no share', second: (hello) => ({ ...hello, keyShares: [] }), alert: 'illegal_parameter' },
  {
    name: 'no key_share at all',
    second: (hello) => ({ ...hello, keyShares: undefined }),
    alert: 'missing_extension',
  },
  {
    name: 'early data again',
    first: offeredPsks({ earlyData: true }),
    second: (hello) => hello,
    alert: 'illegal_parameter',
  },
  {
    name: 'early data for the first time',
    first: offeredPsks(),
    second: (hello) => ({ ...hello, ...offeredPsks({ earlyData: true }) }),
    alert: 'illegal_parameter',
  },
  {
    name: 'a share of the right group but 31 bytes',
    second: (hello) => ({
      ...hello,
      keyShares: [{ group: GROUP.x25519, share: new Uint8Array(31).fill(9) }],
    }),
    alert: 'illegal_parameter',
  },
  {
    name: 'two shares of the right group',
    second: (hello) => ({ ...hello, keyShares: [...(hello.keyShares ?? []), ...(hello.keyShares ?? [])] }),
    alert: 'illegal_parameter',
  },
  {
    name: 'compression',
    second: (hello) => ({ ...hello, compression: Uint8Array.of(0, 1) }),
    alert: 'illegal_parameter',
  },
]

for (const { name, first, second, alert } of CHANGES) {
  test(`row 25: a second hello with another ${name}`, () => {
    const wire = retrying({ hello: { ...FIRST, ...first }, secondHello: second })
    assertRefused(wire, alert)
    assert.equal(wire.client.retries, 1)
  })
}

const ACCEPTED: readonly Omit<Change, 'alert'>[] = [
  { name: 'nothing but the share', second: (hello) => hello },
  {
    name: 'padding added',
    second: (hello) => ({ ...hello, extra: [{ type: EXTENSION.padding, body: new Uint8Array(50) }] }),
  },
  {
    name: 'padding changed',
    first: { extra: [{ type: EXTENSION.padding, body: new Uint8Array(100) }] },
    second: (hello) => ({ ...hello, extra: [{ type: EXTENSION.padding, body: new Uint8Array(50) }] }),
  },
  {
    name: 'early data dropped',
    first: offeredPsks({ earlyData: true }),
    second: (hello) => ({ ...hello, ...offeredPsks() }),
  },
  {
    name: 'other PSKs',
    first: offeredPsks({ identities: 2, binders: 2 }),
    second: (hello) => ({ ...hello, ...offeredPsks({ identityBytes: 90, binderBytes: 48 }) }),
  },
  {
    name: 'no PSK any more',
    first: offeredPsks(),
    second: (hello) => ({
      ...hello,
      extra: hello.extra.filter(({ type }) => type !== EXTENSION.pre_shared_key),
    }),
  },
]

for (const { name, first, second } of ACCEPTED) {
  test(`accepted (second hello): ${name}`, () => {
    assertAccepted(retrying({ hello: { ...FIRST, ...first }, secondHello: second }))
  })
}

test('HelloRetryRequest says what it must, and nothing else', () => {
  for (const suite of Object.values(SUITE)) {
    const wire = retrying({ autoRetry: false, hello: { suites: [suite], sessionId: ascii('middlebox') } })
    const [first, second] = wire.client.records
    assert.equal(second?.outerType, RECORD.ccs)
    const body = concat(
      u16(0x0303),
      Uint8Array.from(Buffer.from(RETRY_RANDOM, 'hex')),
      vector8(ascii('middlebox')),
      u16(suite),
      u8(0),
    )
    const bytes = first?.content ?? u8(0)
    assert.equal(toHex(bytes.subarray(4, 4 + body.length)), toHex(body))
    // supported_versions and key_share, in any order: RFC 8446 §4.1.4 allows a cookie, we send none.
    const extensions = toHex(bytes.subarray(4 + body.length + 2))
    assert.ok(['002b0002030400330002001d', '00330002001d002b00020304'].includes(extensions), extensions)
    assert.equal(wire.signCalls.length, 0)
  }
})

test('a retry makes a key share once, after the second hello', () => {
  let shares = 0
  const context = testContext({
    exchangeKeys: (group, clientShare) => {
      shares++
      return group.exchange(clientShare)
    },
  })
  const wire = retrying({ context, autoRetry: false })
  assert.equal(shares, 0)
  wire.client.plain(RECORD.handshake, wire.client.noteHello())
  wire.run()
  assertAccepted(wire)
  assert.equal(shares, 1)
})

test('row 25: the share of the first hello is of no use for the second', () => {
  // RFC 8446 §4.1.2: "replace the shares"; here the client answers for a group that the server did not ask for.
  const context = testContext({ groups: ['secp256r1'] })
  const wire = new Wire({
    context,
    shares: [GROUP.x25519],
    secondHello: (hello) => ({ ...hello, keyShares: [] }),
  })
  assertRefused(wire.start(), 'illegal_parameter')
})

test('row 14: anything else than a ClientHello after a HelloRetryRequest is refused', () => {
  const types = Object.values(MESSAGE).filter((type) => type !== MESSAGE.client_hello)
  for (const type of [...types, 0, 3, 99, 255]) {
    const wire = retrying({ autoRetry: false })
    wire.client.plain(RECORD.handshake, Uint8Array.of(type, 0, 0, 0))
    assertRefused(wire.run(), 'unexpected_message')
  }
})

test('row 15: bytes after the second hello in its record are refused', () => {
  const wire = retrying({ autoRetry: false })
  const hello = encodeHello(wire.client.hello)
  wire.client.plain(RECORD.handshake, concat(hello, u8(MESSAGE.finished)))
  assertRefused(wire.run(), 'unexpected_message')
})

test('row 25: the second hello may not shrink to groups that lead elsewhere', () => {
  const wire = retrying({
    secondHello: (hello) => ({
      ...hello,
      bodies: { [EXTENSION.supported_groups]: vector16(numbers16([GROUP.secp256r1])) },
    }),
  })
  assertRefused(wire, 'illegal_parameter')
})

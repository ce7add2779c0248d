// Key shares that must be refused. RFC 7748 §6.1, RFC 8446 §4.2.8.2, §7.4.2.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concat, hex, patched, u8 } from './support/bytes.ts'
import { type Hello } from './support/client-hello.ts'
import { clientKey } from './support/client-crypto.ts'
import { GROUP } from './support/code-points.ts'
import { testContext, Wire } from './support/harness.ts'
import { assertRefused } from './support/outcome.ts'

function sharesOf(...entries: readonly (readonly [number, Uint8Array])[]): Partial<Hello> {
  return { keyShares: entries.map(([group, share]) => ({ group, share })) }
}

const X25519_SHARE = clientKey(GROUP.x25519).share
const P256_SHARE = clientKey(GROUP.secp256r1).share

const P = 2n ** 255n - 19n
const ORDER_8_POINTS = [
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
]

function littleEndian(value: bigint): Uint8Array {
  return hex(value.toString(16).padStart(64, '0')).toReversed()
}

/** Every encoding of a point of small order: RFC 7748 §6.1, with and without the bit that is masked off. */
const LOW_ORDER: readonly Uint8Array[] = [
  ...[0n, 1n, P - 1n, P, P + 1n].map(littleEndian),
  ...ORDER_8_POINTS.map(hex),
].flatMap((point) => [point, patched(point, 31, (point[31] as number) | 0x80)])

test('row 23: every X25519 point of low order is refused, and no signature is waited for', () => {
  assert.equal(LOW_ORDER.length, 14)
  for (const point of LOW_ORDER) {
    const wire = new Wire({ signing: 'hold', hello: sharesOf([GROUP.x25519, point]) }).start()
    // The share's form is sound; the request may already be out, but then it is withdrawn.
    assert.ok(wire.signCalls.length <= 1)
    assertRefused(wire, 'illegal_parameter', { signCalls: wire.signCalls.length })
  }
})

const COMPRESSED = concat(u8(2 + ((P256_SHARE[64] as number) & 1)), P256_SHARE.subarray(1, 33))
const BAD_SHARES: readonly { readonly name: string; readonly group: number; readonly share: Uint8Array }[] = [
  { name: 'X25519 of 31 bytes', group: GROUP.x25519, share: X25519_SHARE.subarray(1) },
  { name: 'X25519 of 33 bytes', group: GROUP.x25519, share: concat(X25519_SHARE, u8(0)) },
  { name: 'X25519 of one byte', group: GROUP.x25519, share: u8(9) },
  { name: 'X25519 with a P-256 point', group: GROUP.x25519, share: P256_SHARE },
  { name: 'P-256 of 64 bytes', group: GROUP.secp256r1, share: P256_SHARE.subarray(0, 64) },
  { name: 'P-256 of 66 bytes', group: GROUP.secp256r1, share: concat(P256_SHARE, u8(0)) },
  { name: 'P-256 compressed', group: GROUP.secp256r1, share: COMPRESSED },
  { name: 'P-256 at infinity', group: GROUP.secp256r1, share: u8(0) },
  ...[0, 2, 3, 5, 6, 7].map((first) => ({
    name: `P-256 with first byte ${first}`,
    group: GROUP.secp256r1,
    share: patched(P256_SHARE, 0, first),
  })),
]

for (const { name, group, share } of BAD_SHARES) {
  test(`row 23: a key share ${name}`, () => {
    assertRefused(new Wire({ hello: sharesOf([group, share]) }).start(), 'illegal_parameter')
    // Also where the share comes second in the list, and for the group that is chosen.
    const rest = [GROUP.x25519, GROUP.secp256r1].filter((other) => other !== group)
    const groups: readonly ('x25519' | 'secp256r1')[] = [group === GROUP.x25519 ? 'x25519' : 'secp256r1']
    const second = new Wire({
      context: testContext({ groups }),
      hello: sharesOf([rest[0] as number, clientKey(rest[0] as number).share], [group, share]),
    }).start()
    assertRefused(second, 'illegal_parameter')
  })
}

const OFF_CURVE: readonly Uint8Array[] = [
  patched(P256_SHARE, 64, (P256_SHARE[64] as number) ^ 1),
  concat(u8(4), new Uint8Array(64)),
  concat(u8(4), new Uint8Array(64).fill(0xff)),
]

test('row 23: a P-256 point off the curve is refused, and no signature is waited for', () => {
  for (const share of OFF_CURVE) {
    const wire = new Wire({ signing: 'hold', hello: sharesOf([GROUP.secp256r1, share]) }).start()
    assertRefused(wire, 'illegal_parameter', { signCalls: wire.signCalls.length })
  }
})

import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { KeylessError, type KeylessErrorCode } from './errors.ts'
import { readOperation } from './operation.ts'
import { serverNameText } from './server-name.ts'

/** Bodies in hex; spaces are for the eye. */
const MALFORMED: readonly { name: string; body: string; code: KeylessErrorCode }[] = [
  { name: 'value runs past the end', body: '110001f1 120005aabb', code: 'ERR_KEYLESS_ITEM_TRUNCATED' },
  { name: 'value of none', body: '110001f1 120001', code: 'ERR_KEYLESS_ITEM_TRUNCATED' },
  { name: 'unknown tag runs past the end', body: '7fffff', code: 'ERR_KEYLESS_ITEM_TRUNCATED' },
  { name: 'padding runs past the end', body: '110001f1 200001', code: 'ERR_KEYLESS_ITEM_TRUNCATED' },
  { name: 'opcode twice', body: '110001f1 110001f1', code: 'ERR_KEYLESS_ITEM_DUPLICATE' },
  { name: 'payload twice, once empty', body: '120000 120001aa', code: 'ERR_KEYLESS_ITEM_DUPLICATE' },
  { name: 'padding twice', body: '200000 200000', code: 'ERR_KEYLESS_ITEM_DUPLICATE' },
  { name: 'SKI twice, one unusable', body: '040001aa 040001aa', code: 'ERR_KEYLESS_ITEM_DUPLICATE' },
  { name: 'opcode of 0 bytes', body: '110000', code: 'ERR_KEYLESS_OPCODE_LENGTH' },
  { name: 'opcode of 2 bytes', body: '110002f1f1', code: 'ERR_KEYLESS_OPCODE_LENGTH' },
  { name: 'client IP of 0 bytes', body: '030000', code: 'ERR_KEYLESS_IP_LENGTH' },
  { name: 'client IP of 5 bytes', body: '0300050102030405', code: 'ERR_KEYLESS_IP_LENGTH' },
  { name: 'server IP of 3 bytes', body: '050003010203', code: 'ERR_KEYLESS_IP_LENGTH' },
  { name: 'region of 0 bytes', body: '170000', code: 'ERR_KEYLESS_REGION_LENGTH' },
  { name: 'region of 2 bytes', body: '1700020101', code: 'ERR_KEYLESS_REGION_LENGTH' },
]

for (const { name, body, code } of MALFORMED) {
  test(`malformed: ${name}`, () => {
    assert.throws(
      () => readOperation(bytesOf(body)),
      (error) => {
        assert.ok(error instanceof KeylessError)
        assert.deepEqual([error.code, error.wire], [code, 7])
        return true
      },
    )
  })
}

const TOLERATED: readonly { name: string; body: string; operation: object }[] = [
  { name: 'nothing at all', body: '', operation: { opcode: 0 } },
  { name: 'one stray byte', body: '110001f1 aa', operation: { opcode: 0xf1 } },
  { name: 'two stray bytes', body: '110001f1 1200', operation: { opcode: 0xf1 } },
  { name: 'unknown tag twice', body: '7f0001aa 7f0001bb 110001f1', operation: { opcode: 0xf1 } },
  { name: 'unknown tag 0x00 beside padding', body: '000000 200000', operation: { opcode: 0 } },
  { name: 'unknown tag 0x31 beside the opcode', body: '310000 110001f1', operation: { opcode: 0xf1 } },
  {
    name: 'opcode last',
    body: '120001aa 110001f1',
    operation: { opcode: 0xf1, payload: Uint8Array.of(0xaa) },
  },
  { name: 'empty payload', body: '110001f1 120000', operation: { opcode: 0xf1, payload: new Uint8Array() } },
  { name: 'empty span', body: '150000', operation: { opcode: 0, span: new Uint8Array() } },
  { name: 'SKI of 19 bytes', body: `040013${'01'.repeat(19)}`, operation: { opcode: 0 } },
  { name: 'SKI of zeros', body: `040014${'00'.repeat(20)}`, operation: { opcode: 0 } },
  { name: 'digest of 31 bytes', body: `01001f${'01'.repeat(31)}`, operation: { opcode: 0 } },
  { name: 'region 0', body: '17000100', operation: { opcode: 0 } },
  { name: 'region nobody knows', body: '1700017f', operation: { opcode: 0, complianceRegion: 0x7f } },
]

for (const { name, body, operation } of TOLERATED) {
  test(`tolerated: ${name}`, () => assert.deepEqual(readOperation(bytesOf(body)), operation))
}

test('what was read is a view', () => {
  const body = bytesOf('110001f1 120001aa')
  const { payload } = readOperation(body)
  body[7] = 0xbb
  assert.equal(payload?.[0], 0xbb)
})

test('random bytes give a value or a KeylessError', () => {
  const tag = fc.oneof(fc.constantFrom(0x11, 0x12, 0x04, 0x03, 0x17, 0x20), fc.nat(255))
  const item = fc
    .tuple(tag, fc.uint8Array({ maxLength: 24 }), fc.integer({ min: -1, max: 1 }))
    .map(([tag, value, lie]) => [tag, 0, Math.max(0, value.length + (lie === 1 ? 1 : 0)), ...value])
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.array(item, { maxLength: 6 }).map((items) => Uint8Array.from(items.flat())),
  )
  fc.assert(
    fc.property(body, (bytes) => {
      try {
        assert.equal(typeof readOperation(bytes).opcode, 'number')
      } catch (error) {
        assert.ok(error instanceof KeylessError, String(error))
      }
    }),
  )
})

test('server names as text', () => {
  const text = (bytes: Uint8Array): string | undefined => serverNameText({ opcode: 0, serverName: bytes })
  assert.equal(serverNameText({ opcode: 0 }), undefined)
  assert.equal(text(new TextEncoder().encode('www.example.com')), 'www.example.com')
  assert.equal(text(new TextEncoder().encode('a\nb \\ü')), String.raw`a\x0ab\x20\x5c\xc3\xbc`)
  assert.equal(text(Uint8Array.of(0xff, 0, 0x7f)), String.raw`\xff\x00\x7f`)
  assert.equal(text(new Uint8Array(256).fill(0x61)), `${'a'.repeat(255)}…`)
  assert.equal(text(new Uint8Array(255).fill(0x61)), 'a'.repeat(255))
})

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex.replaceAll(' ', ''))
}

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test from 'node:test'
import * as fc from 'fast-check'
import { anyId, anyOperation } from '../test/properties.ts'
import { OPCODES } from './opcode.ts'
import { readOperation } from './operation.ts'
import {
  encodeError,
  encodePacket,
  encodePong,
  encodeResponse,
  encodeSecretResponse,
  HEADER_BYTES,
  MAX_PACKET_BYTES,
  readHeader,
  readPacket,
  setPacketId,
} from './packet.ts'

const PING = OPCODES.OpPing.code

/** A ping whose packet has `size` bytes without padding. */
function pingOf(size: number): { opcode: number; payload: Uint8Array } {
  return { opcode: PING, payload: new Uint8Array(size - 15) }
}

for (const [unpadded, total] of [
  [16, 1024],
  [1020, 1024],
  [1021, 1024],
  [1022, 1025],
  [1023, 1026],
  [1024, 1024],
  [1025, 1025],
] as const) {
  test(`a packet of ${unpadded} bytes is padded to ${total}`, () => {
    const bytes = encodePacket(6, pingOf(unpadded))
    assert.equal(bytes.length, total)
    assert.equal(readHeader(bytes).length, total - HEADER_BYTES)
    assert.equal(encodePacket(6, pingOf(unpadded), { pad: false }).length, unpadded)
    const hasPadding = unpadded < 1024
    assert.equal(bytes[unpadded] === 0x20, hasPadding)
    assert.ok(bytes.subarray(unpadded + 3).every((byte) => byte === 0))
  })
}

test('an empty operation has no item but its opcode', () => {
  assert.equal(encodePacket(7, { opcode: PING }, { pad: false }).toHex(), '0100000400000007110001f1')
})

test('the largest ping fits, one byte more is refused', () => {
  assert.equal(encodePacket(1, { opcode: PING, payload: new Uint8Array(65_528) }).length, MAX_PACKET_BYTES)
  assert.throws(() => encodePacket(9, { opcode: PING, payload: new Uint8Array(65_529) }), {
    code: 'ERR_KEYLESS_TOO_LARGE',
    wire: 8,
    packetId: 9,
  })
})

test('a value longer than its length field is refused like a packet that is too large', () => {
  const payload = new Uint8Array(0x10000)
  assert.throws(() => encodePacket(1, { opcode: PING, payload }), { code: 'ERR_KEYLESS_TOO_LARGE' })
})

for (const [name, operation] of Object.entries({
  'opcode -1': { opcode: -1 },
  'opcode 256': { opcode: 256 },
  'region 1.5': { opcode: PING, complianceRegion: 1.5 },
  'SKI of 19 bytes': { opcode: PING, ski: new Uint8Array(19) },
  'digest of 33 bytes': { opcode: PING, digest: new Uint8Array(33) },
  'address of 5 bytes': { opcode: PING, clientIp: new Uint8Array(5) },
})) {
  test(`wrong use is a RangeError: ${name}`, () => {
    assert.throws(() => encodePacket(1, operation), RangeError)
  })
}

test('an id that is no u32 is a RangeError', () => {
  assert.throws(() => encodePacket(2 ** 32, { opcode: PING }), RangeError)
})

test('an IPv4-mapped address is written as four bytes, another one is not', () => {
  const mapped = Uint8Array.fromHex('00000000000000000000ffffc0000201')
  const nearly = Uint8Array.fromHex('00000000000000000001ffffc0000201')
  const items = encodePacket(3, { opcode: PING, clientIp: mapped, serverIp: nearly }, { pad: false })
  assert.equal(items.subarray(12).toHex(), '030004c0000201050010' + nearly.toHex())
})

test('zeros as SKI, digest or region are not written', () => {
  const operation = {
    opcode: PING,
    ski: new Uint8Array(20),
    digest: new Uint8Array(32),
    complianceRegion: 0,
    payload: new Uint8Array(0),
  }
  assert.equal(encodePacket(3, operation, { pad: false }).length, 12)
})

test('reading what was written gives the same operation', () => {
  fc.assert(
    fc.property(anyId, anyOperation, fc.boolean(), (id, operation, pad) => {
      const bytes = encodePacket(id, operation, { pad })
      const header = readHeader(bytes)
      assert.deepEqual(header, { major: 1, minor: 0, length: bytes.length - HEADER_BYTES, id })
      assert.deepEqual(readOperation(bytes.subarray(HEADER_BYTES)), operation)
    }),
  )
})

test('a packet with another id is the packet written with that id', () => {
  fc.assert(
    fc.property(anyId, anyId, (first, second) => {
      const packet = encodePacket(first, { opcode: PING })
      setPacketId(packet, second)
      assert.deepEqual(packet, encodePacket(second, { opcode: PING }))
    }),
  )
})

test('every minor of major 1 is taken', () => {
  const body = Uint8Array.fromHex('110001f1')
  const header = { major: 1, minor: 255, length: 4, id: 7 }
  assert.deepEqual(readPacket({ header, body }), { major: 1, minor: 255, id: 7, operation: { opcode: 0xf1 } })
})

test('another major is refused with the id, or taken when asked to', () => {
  const framed = {
    header: { major: 2, minor: 7, length: 4, id: 7 },
    body: Uint8Array.fromHex('110001f1'),
  }
  assert.throws(() => readPacket(framed), { code: 'ERR_KEYLESS_VERSION_MISMATCH', wire: 4, packetId: 7 })
  assert.equal(readPacket(framed, { anyMajor: true }).major, 2)
})

test('the replies', () => {
  const start = (bytes: Uint8Array): string => bytes.subarray(4, 23).toHex()
  assert.equal(encodeResponse(42, Uint8Array.of(1, 2)).length, 1024)
  assert.equal(start(encodeResponse(42, Uint8Array.of(1, 2))), '0000002a110001f012000201022003ec000000')
  assert.equal(start(encodePong(42)), '0000002a110001f22003f10000000000000000')
  assert.equal(start(encodePong(42, Uint8Array.of(9))), '0000002a110001f2120001092003ed00000000')
  assert.equal(start(encodeError(42, 2)), '0000002a110001ff120001022003ed00000000')
})

test('a decrypted premaster secret is written to no memory that other packets share', () => {
  const secret = randomBytes(256)
  const packet = encodeSecretResponse(9, secret)
  assert.equal(packet.buffer.byteLength, packet.length)
  const shared = Buffer.from(encodePong(1).buffer)
  assert.equal(shared.indexOf(secret), -1)
})

for (const length of [0, 1, 256, 1024, 5000]) {
  test(`a secret response of ${length} bytes is a response like any other`, () => {
    const payload = new Uint8Array(length).fill(7)
    assert.deepEqual(encodeSecretResponse(9, payload), new Uint8Array(encodeResponse(9, payload)))
  })
}

test('a secret response of too much is refused', () => {
  assert.throws(() => encodeSecretResponse(9, new Uint8Array(65_600)), { code: 'ERR_KEYLESS_TOO_LARGE' })
})

// Known answers: bytes recorded from another implementation of the protocol (see "about" in the vector file).
import assert from 'node:assert/strict'
import test from 'node:test'
import {
  encodePacket,
  KeylessError,
  type KeylessErrorCode,
  type Packet,
  PacketFramer,
  PROTOCOL_ERRORS,
  readPacket,
  readReply,
} from '../src/index.ts'
import { DECODED, ENCODED, EXCHANGES, expectedOperation } from './golden.ts'

/** The error category of the recording, and ours. `eof` is not an error of a packet: the packet is incomplete. */
const ERROR_OF: Readonly<Record<string, KeylessErrorCode>> = {
  'truncated-item': 'ERR_KEYLESS_ITEM_TRUNCATED',
  'duplicate-item': 'ERR_KEYLESS_ITEM_DUPLICATE',
  'bad-opcode-length': 'ERR_KEYLESS_OPCODE_LENGTH',
  'bad-ip-length': 'ERR_KEYLESS_IP_LENGTH',
  'bad-region-length': 'ERR_KEYLESS_REGION_LENGTH',
}

test('the recording is complete', () => {
  assert.deepEqual([ENCODED.length, DECODED.length, EXCHANGES.length], [30, 27, 22])
})

for (const { name, hex, decoded, totalBytes } of ENCODED) {
  test(`golden encode: ${name}`, () => {
    const operation = expectedOperation(decoded.operation ?? assert.fail())
    const ours = encodePacket(decoded.header.id, operation)
    assert.equal(ours.length, totalBytes)
    assert.equal(ours.toHex(), hex)
    assert.deepEqual(readOne(hex).operation, operation)
  })
}

for (const { name, hex, accepted, decoded } of DECODED) {
  test(`golden decode: ${name}`, () => {
    const framer = new PacketFramer()
    framer.push(Uint8Array.fromHex(hex))
    const framed = framer.next()
    if (decoded.error === 'eof') {
      assert.equal(framed, undefined)
      assert.equal(framer.pendingBytes, hex.length / 2)
      return
    }
    assert.ok(framed)
    assert.deepEqual(framed.header, decoded.header)
    assert.equal(framer.pendingBytes, hex.length / 2 - decoded.bytesConsumed)
    const read = (): Packet => readPacket(framed, { anyMajor: true })
    if (accepted === true) {
      const { serverName, ...operation } = read().operation
      const { serverName: expectedName, ...expected } = expectedOperation(decoded.operation ?? assert.fail())
      assert.deepEqual(operation, expected)
      if (name === 'decode-sni-non-utf8') assert.equal(serverName?.toHex(), 'ff00fe')
      else assert.deepEqual(serverName, expectedName)
    } else {
      const code = ERROR_OF[decoded.error ?? '']
      assert.ok(code)
      assert.throws(read, { code, packetId: decoded.header.id, wire: 7 })
    }
  })
}

for (const { name, request, requestHex, response, responseHex } of EXCHANGES) {
  test(`golden exchange: ${name}`, () => {
    const asked = readOne(requestHex)
    assert.deepEqual([asked.id, asked.operation.opcode], [request.id, Number(request.opcode)])
    assert.equal(asked.operation.payload?.toHex() ?? '', request.payloadHex ?? '')
    assert.equal(encodePacket(asked.id, asked.operation).toHex(), requestHex)

    const answered = readOne(responseHex)
    assert.deepEqual([answered.id, answered.operation.opcode], [response.id, Number(response.opcode)])
    assert.equal(answered.operation.payload?.toHex() ?? '', response.payloadHex ?? '')
    assert.equal(encodePacket(answered.id, answered.operation).toHex(), responseHex)
    if (response.errorCode === undefined) {
      assert.equal(readReply(answered.operation), answered.operation)
    } else {
      const code = PROTOCOL_ERRORS[response.errorCode]?.code
      assert.throws(
        () => readReply(answered.operation),
        (error) => error instanceof KeylessError && error.code === code,
      )
    }
  })
}

function readOne(hex: string): Packet {
  const framer = new PacketFramer()
  framer.push(Uint8Array.fromHex(hex))
  const framed = framer.next()
  assert.ok(framed)
  assert.equal(framer.pendingBytes, 0)
  return readPacket(framed)
}

import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { anyId, anyOperation } from '../test/properties.ts'
import { PacketFramer } from './framer.ts'
import { encodePacket, type FramedPacket, MAX_PACKET_BYTES } from './packet.ts'

const PING = 0xf1

test('every strict prefix is incomplete', () => {
  fc.assert(
    fc.property(anyId, anyOperation, (id, operation) => {
      const packet = encodePacket(id, operation, { pad: false })
      for (let size = 0; size < packet.length; size++) {
        const framer = new PacketFramer()
        framer.push(packet.subarray(0, size))
        assert.equal(framer.next(), undefined)
        assert.equal(framer.pendingBytes, size)
      }
    }),
    { numRuns: 30 },
  )
})

test('however a stream is cut into chunks, the packets are the same', () => {
  const packets = fc.array(
    fc
      .tuple(anyId, anyOperation, fc.boolean())
      .map(([id, operation, pad]) => encodePacket(id, operation, { pad })),
    { maxLength: 5 },
  )
  fc.assert(
    fc.property(packets, fc.array(fc.integer({ min: 0, max: 600 })), (packets, cuts) => {
      const framer = new PacketFramer()
      const framed: string[] = []
      for (const chunk of chunksOf(joined(packets), cuts)) {
        framer.push(chunk)
        framed.push(...drain(framer).map(hexOf))
      }
      assert.deepEqual(
        framed,
        packets.map((packet) => packet.toHex()),
      )
      assert.equal(framer.pendingBytes, 0)
    }),
  )
})

test('packets fed byte by byte', () => {
  const packets = [1, 2, 3].map((id) => encodePacket(id, { opcode: PING, payload: new Uint8Array(id * 400) }))
  const framer = new PacketFramer()
  const framed: FramedPacket[] = []
  for (const byte of joined(packets)) {
    framer.push(Uint8Array.of(byte))
    framed.push(...drain(framer))
  }
  assert.deepEqual(
    framed.map(hexOf),
    packets.map((packet) => packet.toHex()),
  )
})

test('chunks pushed without taking packets in between are not lost', () => {
  const packets = [1, 2, 3].map((id) => encodePacket(id, { opcode: PING }))
  const framer = new PacketFramer()
  for (const chunk of chunksOf(joined(packets), [5, 10, 1009, 1024, 100])) framer.push(chunk)
  assert.equal(framer.pendingBytes, 3072)
  assert.equal(framer.next()?.header.id, 1)
  assert.equal(framer.pendingBytes, 2048)
  assert.deepEqual(
    drain(framer).map(({ header }) => header.id),
    [2, 3],
  )
})

test('a packet inside a chunk is a view, one across chunks is not', () => {
  const packet = encodePacket(1, { opcode: PING })
  const framer = new PacketFramer()
  framer.push(packet)
  assert.equal(framer.next()?.body.buffer, packet.buffer)
  framer.push(packet.subarray(0, 12))
  assert.equal(framer.next(), undefined)
  framer.push(packet.subarray(12))
  const framed = framer.next()
  packet.fill(0)
  assert.equal(framed?.body[0], 0x11)
})

test('bodies are no Buffers, whose slice() would not copy', () => {
  const framer = new PacketFramer()
  framer.push(Buffer.from(encodePacket(1, { opcode: PING })))
  assert.equal(framer.next()?.body.constructor, Uint8Array)
})

test('memory follows what was sent, not what a header promises', () => {
  const framer = new PacketFramer()
  framer.push(Uint8Array.fromHex('0100ffff00000001'))
  assert.equal(framer.next(), undefined)
  assert.equal(framer.pendingBytes, 8)
  framer.push(new Uint8Array(65_534))
  assert.equal(framer.next(), undefined)
  framer.push(new Uint8Array(1))
  assert.equal(framer.next()?.body.length, 65_535)
  assert.equal(framer.pendingBytes, 0)
})

test('the largest packet fed byte by byte costs linear time', () => {
  // A copy of everything collected so far for each byte would move 2 GB per packet: many seconds for ten.
  const packet = encodePacket(1, { opcode: PING, payload: new Uint8Array(65_528) })
  const framer = new PacketFramer()
  const started = performance.now()
  let count = 0
  for (let round = 0; round < 10; round++) {
    for (let at = 0; at < packet.length; at++) {
      framer.push(packet.subarray(at, at + 1))
      if (framer.next() !== undefined) count++
    }
  }
  assert.equal(count, 10)
  assert.equal(packet.length, MAX_PACKET_BYTES)
  assert.ok(performance.now() - started < 3000)
})

test('the largest packet in one-byte chunks that piled up does not hold up the thread', () => {
  // An owner that was busy meets them all in one next(). Moving the rest up for each chunk took 3.7 s.
  const packet = encodePacket(1, { opcode: PING, payload: new Uint8Array(65_528) })
  const framer = new PacketFramer()
  for (let at = 0; at < packet.length; at++) framer.push(packet.subarray(at, at + 1))
  assert.equal(framer.pendingChunks, MAX_PACKET_BYTES)
  const started = performance.now()
  const framed = framer.next()
  const tookMs = performance.now() - started
  assert.equal(framed && hexOf(framed), packet.toHex())
  assert.equal(framer.pendingChunks, 0)
  assert.ok(tookMs < 500, `${tookMs} ms`)
})

test('chunks are counted until they are read to the end', () => {
  const framer = new PacketFramer()
  const packet = encodePacket(1, { opcode: PING })
  framer.push(new Uint8Array(0))
  assert.equal(framer.pendingChunks, 0)
  for (const chunk of chunksOf(joined([packet, packet, packet]), [1, 1, 1500, 1000])) framer.push(chunk)
  const counts = [framer.pendingChunks]
  while (framer.next() !== undefined) counts.push(framer.pendingChunks)
  assert.deepEqual(counts, [5, 3, 2, 0])
  assert.equal(framer.pendingChunks, 0)
})

function drain(framer: PacketFramer): FramedPacket[] {
  const framed: FramedPacket[] = []
  for (let next = framer.next(); next !== undefined; next = framer.next()) framed.push(next)
  return framed
}

/** The packet as it was on the wire; version 1.0. */
function hexOf({ header, body }: FramedPacket): string {
  const word = (value: number, bytes: number): string => value.toString(16).padStart(bytes * 2, '0')
  assert.deepEqual([header.major, header.minor], [1, 0])
  return `0100${word(header.length, 2)}${word(header.id, 4)}${body.toHex()}`
}

function joined(packets: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(packets))
}

/** `bytes` in pieces of the given sizes, the rest in one. */
function chunksOf(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  let at = 0
  const chunks = sizes.map((size) => bytes.subarray(at, (at += size)))
  return [...chunks, bytes.subarray(at)]
}

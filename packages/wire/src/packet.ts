// A packet: eight bytes of header, then a body of items.
//
//   0        1        2        3        4        5        6        7
//   +--------+--------+-----------------+-----------------------------------+
//   | major  | minor  | bytes of body   | id, chosen by the requester       |
//   +--------+--------+-----------------+-----------------------------------+
import { Writer } from '@latchkey/core'
import { KeylessError } from './errors.ts'
import {
  ITEM_HEADER_BYTES,
  type Operation,
  operationItems,
  PADDING_TAG,
  readOperation,
  writeItem,
} from './operation.ts'
import { OPCODES } from './opcode.ts'

export interface Header {
  readonly major: number
  readonly minor: number
  /** Bytes of body that follow, 0..65535. */
  readonly length: number
  /** Chosen by the requester, any u32; the reply carries the same. */
  readonly id: number
}

/** A packet whose bytes are complete but whose items are not read yet. */
export interface FramedPacket {
  readonly header: Header
  /** A view: copy what outlives the handling of this packet. */
  readonly body: Uint8Array
}

export interface Packet {
  readonly major: number
  readonly minor: number
  readonly id: number
  readonly operation: Operation
}

/** The version that is written. */
export const PROTOCOL_VERSION = { major: 1, minor: 0 } as const
export const HEADER_BYTES = 8
/** The length field has two bytes. */
export const MAX_BODY_BYTES = 0xffff
export const MAX_PACKET_BYTES = HEADER_BYTES + MAX_BODY_BYTES
/** Packets below this size are padded up to it, so that a signature and an error look alike from outside. */
export const PADDED_PACKET_BYTES = 1024

/** Reads the eight bytes at `offset`; the caller made sure that they are there. */
export function readHeader(bytes: Uint8Array, offset = 0): Header {
  return {
    major: bytes[offset] as number,
    minor: bytes[offset + 1] as number,
    length: ((bytes[offset + 2] as number) << 8) | (bytes[offset + 3] as number),
    id:
      (((bytes[offset + 4] as number) << 24) |
        ((bytes[offset + 5] as number) << 16) |
        ((bytes[offset + 6] as number) << 8) |
        (bytes[offset + 7] as number)) >>>
      0,
  }
}

/**
 * Reads a framed packet. Any minor version of major 1 is taken, because a later minor may only add items.
 *
 * @param options.anyMajor take every version, as some peers do.
 * @throws {KeylessError} ERR_KEYLESS_VERSION_MISMATCH and those of {@link readOperation}; `packetId` is set, so that
 * the packet can be answered: the frame itself was sound.
 */
export function readPacket(
  { header, body }: FramedPacket,
  { anyMajor = false }: { readonly anyMajor?: boolean } = {},
): Packet {
  const { major, minor, id } = header
  if (major !== PROTOCOL_VERSION.major && !anyMajor) {
    throw new KeylessError('ERR_KEYLESS_VERSION_MISMATCH', { detail: `${major}.${minor}`, packetId: id })
  }
  try {
    return { major, minor, id, operation: readOperation(body) }
  } catch (error) {
    if (!(error instanceof KeylessError)) throw error
    throw new KeylessError(error.code, { detail: error.detail, cause: error.cause, packetId: id })
  }
}

/**
 * Writes a packet of version 1.0.
 *
 * Padding: a packet of u bytes without padding, u < 1024, gets a padding item with max(0, 1024 - u - 3) zero bytes.
 * So 1024 bytes for u ≤ 1021, but 1025 for u = 1022 and 1026 for u = 1023: peers do the same, and a reader goes by
 * the length field.
 *
 * @param id any u32.
 * @param options.pad false leaves the padding away: every reader must take that too.
 * @returns bytes of the caller's own, whose buffer holds other packets too: for secrets, see encodeSecretResponse.
 * @throws {KeylessError} ERR_KEYLESS_TOO_LARGE if the body would pass 65535 bytes.
 * @throws {RangeError} on a field whose length or value it cannot have: a bug of the caller.
 */
export function encodePacket(
  id: number,
  operation: Operation,
  { pad = true }: { readonly pad?: boolean } = {},
): Uint8Array {
  const items = operationItems(operation)
  let size = HEADER_BYTES
  for (const { value } of items) size += ITEM_HEADER_BYTES + value.length
  const padding = pad ? paddingOf(size) : undefined
  const total = padding === undefined ? size : size + ITEM_HEADER_BYTES + padding
  if (total > MAX_PACKET_BYTES) {
    throw new KeylessError('ERR_KEYLESS_TOO_LARGE', { detail: `${total} bytes`, packetId: id })
  }
  const writer = new Writer(total)
  writer.u8(PROTOCOL_VERSION.major).u8(PROTOCOL_VERSION.minor)
  writer.u16(total - HEADER_BYTES).u32(id)
  for (const item of items) writeItem(writer, item)
  if (padding !== undefined) writer.u8(PADDING_TAG).u16(padding).zeros(padding)
  return writer.finish()
}

/** Gives a written packet another id: what is sent again need not be written again. */
export function setPacketId(packet: Uint8Array, id: number): void {
  packet[4] = id >>> 24
  packet[5] = id >>> 16
  packet[6] = id >>> 8
  packet[7] = id
}

/** Zero bytes in the padding item of a packet of `size` bytes without it; undefined: no padding item. */
function paddingOf(size: number): number | undefined {
  return size < PADDED_PACKET_BYTES ? Math.max(0, PADDED_PACKET_BYTES - size - ITEM_HEADER_BYTES) : undefined
}

/** A success: `payload` is the signature or the plaintext. */
export function encodeResponse(id: number, payload: Uint8Array): Uint8Array {
  return encodePacket(id, { opcode: OPCODES.OpResponse.code, payload })
}

/**
 * A success whose payload is secret: a decrypted block, with what a TLS 1.2 session was keyed with in it. The packet is
 * all of its buffer, and no other memory has seen the payload, so `fill(0)` on both ends it.
 *
 * @throws {KeylessError} ERR_KEYLESS_TOO_LARGE
 */
export function encodeSecretResponse(id: number, payload: Uint8Array): Uint8Array {
  // The writer's memory is shared and lives on: it gets zeros in place of the payload.
  const packet = new Uint8Array(encodeResponse(id, new Uint8Array(payload.length)))
  readOperation(packet.subarray(HEADER_BYTES)).payload?.set(payload)
  return packet
}

/** The answer to a ping: its payload again. */
export function encodePong(id: number, payload?: Uint8Array): Uint8Array {
  return encodePacket(id, {
    opcode: OPCODES.OpPong.code,
    ...(payload === undefined ? undefined : { payload }),
  })
}

/** A failure: `wire` is the byte of one of the PROTOCOL_ERRORS. */
export function encodeError(id: number, wire: number): Uint8Array {
  return encodePacket(id, { opcode: OPCODES.OpError.code, payload: Uint8Array.of(wire) })
}

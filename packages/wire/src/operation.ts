// The body of a packet: tagged items in any order, read into one plain object and written from it.
import { DecodeError, Reader, type Writer } from '@latchkey/core'
import { KeylessError, type KeylessErrorCode } from './errors.ts'

/**
 * What one packet says. A field is absent when its item was not there, or must be read as if it were not (an SKI or
 * digest of the wrong length or of zeros only). Fields that were read are views of the packet: copy (`slice`) what
 * outlives it.
 */
export interface Operation {
  /** See OPCODES; 0 if the packet had none. */
  readonly opcode: number
  readonly payload?: Uint8Array
  /** Second input of custom operations, private to them; and the scope of a signature, see scoped-signing.ts. */
  readonly extra?: Uint8Array
  /** SubjectKeyIdentifier, 20 bytes: names the key. */
  readonly ski?: Uint8Array
  /** SHA-256 over the modulus in upper-case hex, 32 bytes: how old clients named an RSA key. */
  readonly digest?: Uint8Array
  /** 4 or 16 bytes. */
  readonly clientIp?: Uint8Array
  /** 4 or 16 bytes. */
  readonly serverIp?: Uint8Array
  /** The SNI as raw bytes, not checked: for people, see serverNameText. */
  readonly serverName?: Uint8Array
  readonly certId?: Uint8Array
  readonly customFunction?: Uint8Array
  /** Tracing span. Empty is not the same as absent. */
  readonly span?: Uint8Array
  /** JSON text, UTF-8, not checked. Empty is not the same as absent. */
  readonly requestContext?: Uint8Array
  /** 1 = FedRAMP High; 0, "none", reads as absent. */
  readonly complianceRegion?: number
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] }
type BytesField = Exclude<keyof Operation, 'opcode' | 'complianceRegion'>

/**
 * How the value of an item is checked and when it is written:
 * `byte`    one byte, else the packet is refused; written if not zero, the opcode always
 * `bytes`   anything; written if not empty
 * `present` anything; written if present, even empty
 * `fixed`   `length` bytes and not all zero, else read as absent; written under the same condition
 * `address` 4 or 16 bytes, else the packet is refused; written if present
 */
type Row =
  | { tag: number; field: 'opcode' | 'complianceRegion'; form: 'byte'; refusal: KeylessErrorCode }
  | { tag: number; field: BytesField; form: 'bytes' | 'present' }
  | { tag: number; field: 'ski' | 'digest'; form: 'fixed'; length: number }
  | { tag: number; field: 'clientIp' | 'serverIp'; form: 'address'; refusal: KeylessErrorCode }

/** In the order in which items are written. A reader takes any order. */
const ITEMS: readonly Row[] = [
  { tag: 0x11, field: 'opcode', form: 'byte', refusal: 'ERR_KEYLESS_OPCODE_LENGTH' },
  { tag: 0x12, field: 'payload', form: 'bytes' },
  { tag: 0x14, field: 'extra', form: 'bytes' },
  { tag: 0x04, field: 'ski', form: 'fixed', length: 20 },
  { tag: 0x01, field: 'digest', form: 'fixed', length: 32 },
  { tag: 0x03, field: 'clientIp', form: 'address', refusal: 'ERR_KEYLESS_IP_LENGTH' },
  { tag: 0x05, field: 'serverIp', form: 'address', refusal: 'ERR_KEYLESS_IP_LENGTH' },
  { tag: 0x02, field: 'serverName', form: 'bytes' },
  { tag: 0x06, field: 'certId', form: 'bytes' },
  { tag: 0x13, field: 'customFunction', form: 'bytes' },
  { tag: 0x15, field: 'span', form: 'present' },
  { tag: 0x16, field: 'requestContext', form: 'present' },
  { tag: 0x17, field: 'complianceRegion', form: 'byte', refusal: 'ERR_KEYLESS_REGION_LENGTH' },
]

/** Brings a packet to its padded size; its content means nothing and is not looked at. */
export const PADDING_TAG = 0x20
/** One byte of tag and two of length before each value. */
export const ITEM_HEADER_BYTES = 3

const ROW_BY_TAG = new Map<number, Row>(ITEMS.map((row) => [row.tag, row]))

/**
 * Reads the items of a packet's body.
 *
 * Tolerated, because peers do: items in any order, unknown tags (even repeated), one or two stray bytes at the end,
 * no opcode (it becomes 0). Refused: an item that runs past the end, a known tag twice (padding included), an opcode
 * or compliance region that is not one byte, an IP address of neither 4 nor 16.
 *
 * @throws {KeylessError} ERR_KEYLESS_ITEM_TRUNCATED, ERR_KEYLESS_ITEM_DUPLICATE, ERR_KEYLESS_OPCODE_LENGTH,
 * ERR_KEYLESS_IP_LENGTH, ERR_KEYLESS_REGION_LENGTH.
 */
export function readOperation(body: Uint8Array): Operation {
  const operation: Mutable<Operation> = { opcode: 0 }
  const reader = new Reader(body)
  let tagsSeen = 0 // one bit a tag: every known tag is ≤ 0x20, padding shares bit 0 with no one
  while (reader.left >= ITEM_HEADER_BYTES) {
    const tag = reader.u8()
    const value = readValue(reader, tag)
    const row = ROW_BY_TAG.get(tag)
    if (row === undefined && tag !== PADDING_TAG) continue
    const bit = 1 << (tag & 0x1f)
    if ((tagsSeen & bit) !== 0) throw new KeylessError('ERR_KEYLESS_ITEM_DUPLICATE', { detail: tagText(tag) })
    tagsSeen |= bit
    if (row !== undefined) readField(operation, row, value)
  }
  return operation
}

function readValue(reader: Reader, tag: number): Uint8Array {
  try {
    return reader.opaque16()
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new KeylessError('ERR_KEYLESS_ITEM_TRUNCATED', { detail: tagText(tag), cause })
  }
}

function readField(operation: Mutable<Operation>, row: Row, value: Uint8Array): void {
  switch (row.form) {
    case 'byte': {
      if (value.length !== 1) throw new KeylessError(row.refusal, { detail: `${value.length} bytes` })
      const byte = value[0] as number
      if (row.field === 'opcode' || byte !== 0) operation[row.field] = byte
      return
    }
    case 'address':
      if (value.length !== 4 && value.length !== 16) {
        throw new KeylessError(row.refusal, { detail: `${value.length} bytes, ${tagText(row.tag)}` })
      }
      operation[row.field] = value
      return
    case 'fixed':
      // Peers read such an SKI as "none given" and go on: so do we, and the key is then simply not found.
      if (value.length === row.length && !isZero(value)) operation[row.field] = value
      return
    case 'bytes':
    case 'present':
      operation[row.field] = value
      return
    default:
      row satisfies never
  }
}

/** One item as it will be written. */
export interface Item {
  readonly tag: number
  readonly value: Uint8Array
}

/**
 * The items that say `operation`, in writing order, padding not among them.
 *
 * @throws {RangeError} on an SKI, digest or address of a length it cannot have, an opcode or region that is no byte.
 */
export function operationItems(operation: Operation): Item[] {
  const items: Item[] = []
  for (const row of ITEMS) {
    const value = fieldValue(operation, row)
    if (value !== undefined) items.push({ tag: row.tag, value })
  }
  return items
}

function fieldValue(operation: Operation, row: Row): Uint8Array | undefined {
  switch (row.form) {
    case 'byte': {
      const byte = operation[row.field] ?? 0
      if (!Number.isInteger(byte) || byte < 0 || byte > 0xff) throw new RangeError(`${row.field} is no byte`)
      return row.field === 'opcode' || byte !== 0 ? Uint8Array.of(byte) : undefined
    }
    case 'address': {
      const value = operation[row.field]
      if (value === undefined) return undefined
      if (value.length !== 4 && value.length !== 16) throw new RangeError(`${row.field} is not 4 or 16 bytes`)
      return isIpv4Mapped(value) ? value.subarray(12) : value
    }
    case 'fixed': {
      const value = operation[row.field]
      if (value === undefined) return undefined
      if (value.length !== row.length) throw new RangeError(`${row.field} is not ${row.length} bytes`)
      return isZero(value) ? undefined : value
    }
    case 'bytes': {
      const value = operation[row.field]
      return value === undefined || value.length === 0 ? undefined : value
    }
    case 'present':
      return operation[row.field]
    default:
      return row satisfies never
  }
}

/** Writes one item: tag, length, value. */
export function writeItem(writer: Writer, { tag, value }: Item): void {
  writer.u8(tag).opaque16(value)
}

/** ::ffff:a.b.c.d, RFC 4291 §2.5.5.2: written as the four bytes it stands for. */
function isIpv4Mapped(address: Uint8Array): boolean {
  return (
    address.length === 16 && address[10] === 0xff && address[11] === 0xff && isZero(address.subarray(0, 10))
  )
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

function tagText(tag: number): string {
  return `item 0x${tag.toString(16).padStart(2, '0')}`
}

// Item 0x15: the span of the caller, as tracers of the Jaeger kind write it; binary, or `trace:span:parent:flags` in hex.
import { DecodeError, Reader } from '@latchkey/core'

/** The span in which a request was made, in the form of W3C Trace Context: lower-case hex. */
export interface CallerSpan {
  /** 32 digits, not all zero. */
  readonly traceId: string
  /** 16 digits, not all zero. */
  readonly spanId: string
  /** Whether the caller records this trace. */
  readonly isSampled: boolean
}

/** A caller's span with much baggage; more is not looked at. */
const MAX_SPAN_BYTES = 8192
const MAX_BAGGAGE = 64
/** 32 + 16 + 16 + 2 digits and three colons. */
const MAX_TEXT_BYTES = 69
const TEXT = /^([0-9a-f]{1,32}):([0-9a-f]{1,16}):([0-9a-f]{1,16}):([0-9a-f]{1,2})$/i
const SAMPLED = 1

/** Reads the value of the item; a text says what is wrong with it. Baggage is checked and left aside. */
export function readCallerSpan(value: Uint8Array): CallerSpan | string {
  if (value.length > MAX_SPAN_BYTES) return `${value.length} bytes`
  const [, trace, span, , flags] = value.length <= MAX_TEXT_BYTES ? (TEXT.exec(latin1(value)) ?? []) : []
  if (trace !== undefined && span !== undefined && flags !== undefined) {
    return checked(trace.toLowerCase(), span.toLowerCase(), Number.parseInt(flags, 16))
  }
  try {
    return readBinary(new Reader(value))
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    return `neither binary nor text: ${error.message}`
  }
}

/** Trace (16 bytes), span (8), parent (8), flags (1), then a count of pairs of texts, each with a four-byte length. */
function readBinary(reader: Reader): CallerSpan | string {
  const trace = hex(reader.opaque(16))
  const span = hex(reader.opaque(8))
  reader.opaque(8)
  const flags = reader.u8()
  const pairs = reader.u32()
  if (pairs > MAX_BAGGAGE) return `${pairs} entries of baggage`
  for (let text = 0; text < 2 * pairs; text++) reader.opaque(reader.u32())
  reader.end()
  return checked(trace, span, flags)
}

/** @see W3C Trace Context §3.2.2: ids of zeros only are invalid. */
function checked(trace: string, span: string, flags: number): CallerSpan | string {
  const traceId = trace.padStart(32, '0')
  const spanId = span.padStart(16, '0')
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return 'an id of zeros'
  return { traceId, spanId, isSampled: (flags & SAMPLED) !== 0 }
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

// Fuzz entry point: any bytes give packets or a KeylessError, never anything else.
import { KeylessError } from './errors.ts'
import { PacketFramer } from './framer.ts'
import type { Operation } from './operation.ts'
import { encodeError, encodePacket, encodePong, encodeResponse, readPacket } from './packet.ts'
import { OPCODES } from './opcode.ts'

/**
 * Frames and reads `bytes`, whole and again in pieces of seven.
 *
 * Returns if every packet gave a value or a KeylessError, if both ways cut the same packets, and if each value that
 * can be written reads back as itself.
 *
 * @throws {Error} whatever else happened: a defect.
 */
export function fuzzFramer(bytes: Uint8Array): void {
  const whole = new PacketFramer()
  const pieces = new PacketFramer()
  whole.push(bytes)
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) pieces.push(bytes.subarray(at, at + PIECE_BYTES))
  for (let framed = whole.next(); framed !== undefined; framed = whole.next()) {
    const again = pieces.next()
    if (again === undefined || !isEqual(framed.body, again.body)) throw new Error('pieces frame differently')
    const operation = valueOrKeylessError(() => readPacket(framed, { anyMajor: true }).operation)
    if (operation !== undefined) expectRoundTrip(operation)
  }
  if (pieces.next() !== undefined) throw new Error('pieces frame a packet more')
  if (whole.pendingBytes !== pieces.pendingBytes) throw new Error('pieces leave other bytes over')
}

const PIECE_BYTES = 7

function expectRoundTrip(operation: Operation): void {
  const once = valueOrKeylessError(() => encodePacket(1, operation))
  if (once === undefined) return // a full body plus what was merely implied: refused as too large
  const framer = new PacketFramer()
  framer.push(once)
  const framed = framer.next()
  if (framed === undefined) throw new Error('a written packet is not complete')
  if (!isEqual(encodePacket(1, readPacket(framed).operation), once)) throw new Error('no round trip')
}

function valueOrKeylessError<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof KeylessError) return undefined
    throw error
  }
}

function isEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index])
}

/** What a fuzz run did. */
export interface FuzzReport {
  readonly count: number
  readonly bytes: number
}

/**
 * Runs `target` ({@link fuzzFramer}) on `count` inputs: mutations of `corpus`, and now and then plain random bytes. The same
 * `seed` gives the same inputs.
 *
 * @param options.corpus sound packets to start from; by default a few that together have every item.
 * @throws {Error} on the first defect: the input in hex is in the message, the defect is the `cause`.
 */
export function runFuzz({
  count,
  seed,
  corpus = sampleCorpus(),
  target = fuzzFramer,
}: {
  readonly count: number
  readonly seed: number
  readonly corpus?: readonly Uint8Array[]
  readonly target?: (bytes: Uint8Array) => void
}): FuzzReport {
  const random = randomBelow(seed)
  let bytes = 0
  for (let round = 0; round < count; round++) {
    const input = random(16) === 0 ? randomBytes(random) : mutate(corpus, random)
    bytes += input.length
    try {
      target(input)
    } catch (cause) {
      throw new Error(`seed ${seed}, input ${round}: ${hex(input)}`, { cause })
    }
  }
  return { count, bytes }
}

/** An integer in 0..limit-1. */
type RandomBelow = (limit: number) => number

/** mulberry32: 32 bits of state are plenty for picking mutations, and it is fast. */
function randomBelow(seed: number): RandomBelow {
  let state = seed >>> 0
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit
  }
}

function randomBytes(random: RandomBelow): Uint8Array {
  return Uint8Array.from({ length: random(64) }, () => random(256))
}

/** One or two packets of the corpus with a few bytes changed, moved or gone, mostly without their padding. */
function mutate(corpus: readonly Uint8Array[], random: RandomBelow): Uint8Array {
  const pick = (): Uint8Array => corpus[random(corpus.length)] as Uint8Array
  let bytes = random(4) === 0 ? join(pick(), pick()) : pick().slice()
  if (random(4) !== 0) bytes = withoutTail(bytes, random)
  for (let change = random(6); change > 0 && bytes.length > 0; change--) {
    const at = random(bytes.length)
    const kind = random(4)
    if (kind === 0) bytes[at] = random(256)
    else if (kind === 1) bytes[at] = (bytes[at] as number) ^ (1 << random(8))
    else if (kind === 2) bytes.copyWithin(at, random(bytes.length), at + random(32))
    else bytes = bytes.subarray(0, bytes.length - random(Math.min(bytes.length, 4)))
  }
  return bytes
}

/** Cuts most of a packet's end off and corrects its length: else nearly all changes would hit padding. */
function withoutTail(bytes: Uint8Array, random: RandomBelow): Uint8Array {
  const size = Math.min(bytes.length, 8 + random(200))
  const short = bytes.subarray(0, size)
  if (size >= 8) {
    short[2] = (size - 8) >>> 8
    short[3] = size - 8
  }
  return short
}

function join(left: Uint8Array, right: Uint8Array): Uint8Array {
  const both = new Uint8Array(left.length + right.length)
  both.set(left)
  both.set(right, left.length)
  return both
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function sampleCorpus(): Uint8Array[] {
  const ramp = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index)
  const payload = ramp(32)
  return [
    encodePacket(1, { opcode: OPCODES.OpPing.code }, { pad: false }),
    encodePong(2, ramp(6)),
    encodeResponse(3, ramp(64)),
    encodeError(4, 2),
    encodePacket(5, {
      opcode: OPCODES.OpECDSASignSHA256.code,
      payload,
      extra: ramp(5),
      ski: ramp(20),
      digest: ramp(32),
      clientIp: ramp(4),
      serverIp: ramp(16),
      serverName: ramp(11),
      certId: ramp(8),
      customFunction: ramp(2),
      span: ramp(0),
      requestContext: ramp(20),
      complianceRegion: 1,
    }),
  ]
}

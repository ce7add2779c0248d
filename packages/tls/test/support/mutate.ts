// Changes sound bytes into unsound ones that still look sound enough to be read far: what fuzzers start from.
import { concat, u16, vector16 } from './bytes.ts'
import type { Extension } from './client-hello.ts'
import { EXTENSION } from './code-points.ts'
import type { Random } from './random.ts'

const INTERESTING = [0, 1, 2, 3, 4, 0x0a, 0x13, 0x16, 0x1d, 0x20, 0x29, 0x2b, 0x33, 0x7f, 0x80, 0xfe, 0xff]

type Mutation = (bytes: Uint8Array, random: Random) => Uint8Array

const MUTATIONS: readonly Mutation[] = [
  (bytes, random) => withByte(bytes, random.below(bytes.length), random.below(256)),
  (bytes, random) => withByte(bytes, random.below(bytes.length), random.pick(INTERESTING)),
  (bytes, random) => {
    const at = random.below(bytes.length)
    return withByte(bytes, at, (bytes[at] as number) ^ (1 << random.below(8)))
  },
  (bytes, random) => bytes.subarray(0, 1 + random.below(bytes.length)),
  (bytes, random) => {
    const at = random.below(bytes.length)
    return concat(bytes.subarray(0, at), random.bytes(1 + random.below(8)), bytes.subarray(at))
  },
  (bytes, random) => {
    const at = random.below(bytes.length)
    return concat(bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(8)))
  },
  // A piece of itself somewhere else: doubled extensions, shares within shares.
  (bytes, random) => {
    const from = random.below(bytes.length)
    const piece = bytes.subarray(from, from + 1 + random.below(60))
    const at = random.below(bytes.length)
    return concat(bytes.subarray(0, at), piece, bytes.subarray(at))
  },
  (bytes, random) => concat(bytes, u16(random.below(0x10000)), vector16(random.bytes(random.below(40)))),
]

function withByte(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = new Uint8Array(bytes)
  copy[at] = value
  return copy
}

/** One to three changes anywhere. */
export function mutatedBytes(bytes: Uint8Array, random: Random): Uint8Array {
  let result = bytes
  for (let count = 1 + random.below(3); count > 0; count--) {
    if (result.length > 0) result = random.pick(MUTATIONS)(result, random)
  }
  return result
}

// ── hellos ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The parts of a ClientHello's body, each to be changed by itself and put together with true lengths. */
export interface HelloParts {
  readonly version: Uint8Array
  readonly random: Uint8Array
  readonly sessionId: Uint8Array
  readonly suites: Uint8Array
  readonly compression: Uint8Array
  /** undefined: no block at all. */
  readonly extensions: readonly Extension[] | undefined
}

/** The parts of a sound body. */
export function partsOf(body: Uint8Array): HelloParts {
  let at = 34
  const take = (width: 1 | 2): Uint8Array => {
    const length = width === 1 ? (body[at] as number) : ((body[at] as number) << 8) | (body[at + 1] as number)
    const start = at + width
    at = start + length
    return body.subarray(start, at)
  }
  const sessionId = take(1)
  const suites = take(2)
  const compression = take(1)
  const extensions: Extension[] = []
  const hasBlock = at < body.length
  for (at += 2; at < body.length; ) {
    const type = ((body[at] as number) << 8) | (body[at + 1] as number)
    at += 2
    extensions.push({ type, body: take(2) })
  }
  return {
    version: body.subarray(0, 2),
    random: body.subarray(2, 34),
    sessionId,
    suites,
    compression,
    extensions: hasBlock ? extensions : undefined,
  }
}

/** The body again: `bodyOf(partsOf(body))` is `body`. Lengths are true as far as their fields can hold them. */
export function bodyOf({
  version,
  random,
  sessionId,
  suites,
  compression,
  extensions,
}: HelloParts): Uint8Array {
  const fixed = version.length + random.length + sessionId.length + suites.length + compression.length + 4
  const block = extensions?.reduce((size, { body }) => size + 4 + body.length, 0)
  // Written by hand: a fuzzer makes millions of them.
  const bytes = new Uint8Array(fixed + (block === undefined ? 0 : 2 + block))
  let at = 0
  const put = (part: Uint8Array): void => {
    bytes.set(part, at)
    at += part.length
  }
  const put16 = (value: number): void => {
    bytes[at++] = value >>> 8
    bytes[at++] = value
  }
  put(version)
  put(random)
  bytes[at++] = sessionId.length
  put(sessionId)
  put16(suites.length)
  put(suites)
  bytes[at++] = compression.length
  put(compression)
  if (block !== undefined) put16(block)
  for (const { type, body } of extensions ?? []) {
    put16(type)
    put16(body.length)
    put(body)
  }
  return bytes
}

const KNOWN_TYPES = [...Object.values(EXTENSION), 17, 18, 27, 28, 0x22, 0x4469, 0x0a0a, 0xfe0d, 0xffff]

type HelloMutation = (parts: HelloParts, other: HelloParts, random: Random) => HelloParts

function changingExtensions(
  change: (extensions: Extension[], other: readonly Extension[], random: Random) => void,
): HelloMutation {
  return (parts, other, random) => {
    const extensions = [...(parts.extensions ?? [])]
    if (extensions.length > 0) change(extensions, other.extensions ?? [], random)
    return { ...parts, extensions }
  }
}

const changeBody = changingExtensions((extensions, _, random) => {
  const at = random.below(extensions.length)
  const { type, body } = extensions[at] as Extension
  extensions[at] = { type, body: mutatedBytes(body, random) }
})

const HELLO_MUTATIONS: readonly HelloMutation[] = [
  // Most of what can be wrong is inside an extension.
  changeBody,
  changeBody,
  changeBody,
  changeBody,
  changingExtensions((extensions, _, random) => extensions.splice(random.below(extensions.length), 1)),
  changingExtensions((extensions, _, random) => {
    const copy = random.pick(extensions)
    extensions.splice(random.below(extensions.length + 1), 0, copy)
  }),
  changingExtensions((extensions, _, random) => {
    const [moved] = extensions.splice(random.below(extensions.length), 1)
    if (moved !== undefined) extensions.splice(random.below(extensions.length + 1), 0, moved)
  }),
  changingExtensions((extensions, other, random) => {
    const taken = other.length === 0 ? undefined : random.pick(other)
    const at = extensions.findIndex(({ type }) => type === taken?.type)
    if (taken === undefined) return
    if (at >= 0) extensions[at] = taken
    else extensions.splice(random.below(extensions.length + 1), 0, taken)
  }),
  changingExtensions((extensions, _, random) => {
    const at = random.below(extensions.length)
    extensions[at] = { body: (extensions[at] as Extension).body, type: random.pick(KNOWN_TYPES) }
  }),
  changingExtensions((extensions, _, random) => {
    const body = random.bytes(random.below(20))
    extensions.splice(random.below(extensions.length + 1), 0, { type: random.pick(KNOWN_TYPES), body })
  }),
  (parts, _, random) => ({ ...parts, suites: mutatedBytes(parts.suites, random) }),
  (parts, other) => ({ ...parts, suites: other.suites }),
  (parts, _, random) => ({ ...parts, sessionId: random.bytes(random.below(36)) }),
  (parts, _, random) => ({ ...parts, compression: random.bytes(random.below(3)) }),
  (parts, _, random) => ({
    ...parts,
    version: Uint8Array.of(random.pick([2, 3, 3, 3, 3, 0x7f]), random.below(6)),
  }),
  (parts, _, random) => ({ ...parts, random: random.bytes(32) }),
]

/** A body with one to three parts changed; now and then bytes of it too, wherever they are. */
export function mutatedHello(seeds: readonly HelloParts[], random: Random): Uint8Array {
  let parts = random.pick(seeds)
  for (let count = 1 + random.below(3); count > 0; count--) {
    parts = random.pick(HELLO_MUTATIONS)(parts, random.pick(seeds), random)
  }
  const body = bodyOf(parts)
  return random.below(8) === 0 ? mutatedBytes(body, random) : body
}

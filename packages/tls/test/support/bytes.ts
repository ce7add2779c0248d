// Bytes for tests: builders whose lengths may lie, because a test peer must be able to.

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value)
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value)
}

export function u24(value: number): Uint8Array {
  return Uint8Array.of(value >>> 16, value >>> 8, value)
}

/** `parts` behind their true length in one byte. */
export function vector8(...parts: readonly Uint8Array[]): Uint8Array {
  const body = concat(...parts)
  return concat(u8(body.length), body)
}

/** `parts` behind their true length in two bytes. */
export function vector16(...parts: readonly Uint8Array[]): Uint8Array {
  const body = concat(...parts)
  return concat(u16(body.length), body)
}

/** `parts` behind their true length in three bytes. */
export function vector24(...parts: readonly Uint8Array[]): Uint8Array {
  const body = concat(...parts)
  return concat(u24(body.length), body)
}

export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'))
}

/** `bytes` in pieces of `size`. */
export function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  const result: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += size) result.push(bytes.subarray(at, at + size))
  return result
}

/** A copy with one bit changed. */
export function flipped(bytes: Uint8Array, at: number, mask = 1): Uint8Array {
  const copy = bytes.slice()
  copy[at] = (copy[at] as number) ^ mask
  return copy
}

/** A copy of `bytes` with `value` at `at`. */
export function patched(bytes: Uint8Array, at: number, ...value: readonly number[]): Uint8Array {
  const copy = bytes.slice()
  copy.set(value, at)
  return copy
}

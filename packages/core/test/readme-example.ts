import { Reader, Writer } from '@latchkey/core'

const bytes = new Writer()
  .u16(0x0304)
  .vector8((names) => names.opaque(Uint8Array.of(1, 2, 3)))
  .finish()

const reader = new Reader(bytes)
export const version = reader.u16() // 0x0304
export const names = reader.opaque8() // 1, 2, 3
reader.end()

// The extensions of a client that offers pre-shared keys. RFC 8446 §4.2.9, §4.2.11.
import { concat, u8, vector16, vector8 } from './bytes.ts'
import type { Extension } from './client-hello.ts'
import { EXTENSION } from './code-points.ts'

export interface OfferedPsks {
  readonly identities?: number
  readonly identityBytes?: number
  readonly binders?: number
  readonly binderBytes?: number
  /** undefined: no psk_key_exchange_modes. Default psk_dhe_ke. */
  readonly modes?: readonly number[] | undefined
  readonly earlyData?: boolean
  readonly trailing?: Uint8Array
}

/** Well formed unless told otherwise; the tickets mean nothing to anyone. */
export function offeredPsks(options: OfferedPsks = {}): { readonly extra: readonly Extension[] } {
  const { identities = 1, identityBytes = 40, binders = 1, binderBytes = 32, earlyData = false } = options
  const modes = 'modes' in options ? options.modes : [1]
  const identity = concat(vector16(new Uint8Array(identityBytes).fill(0xaa)), new Uint8Array(4))
  const binder = vector8(new Uint8Array(binderBytes).fill(0xbb))
  const body = concat(
    vector16(...Array.from({ length: identities }, () => identity)),
    vector16(...Array.from({ length: binders }, () => binder)),
    options.trailing ?? new Uint8Array(0),
  )
  const modesBody = modes && vector8(...modes.map(u8))
  return {
    extra: [
      ...(modesBody === undefined ? [] : [{ type: EXTENSION.psk_key_exchange_modes, body: modesBody }]),
      ...(earlyData ? [{ type: EXTENSION.early_data, body: new Uint8Array(0) }] : []),
      { type: EXTENSION.pre_shared_key, body },
    ],
  }
}

// Keying material for other protocols, bound to this connection. RFC 8446 §7.5, RFC 5705.
import { Writer } from '@latchkey/core'
import { digest, type HashName } from './crypto-provider.ts'
import type { Hkdf } from './handshake/key-schedule.ts'

/** Gives keying material of one connection until it is wiped. */
export interface Exporter {
  /**
   * @param context undefined: none, which only TLS 1.2 tells from an empty one
   * @returns bytes the caller owns, and should wipe.
   * @throws {RangeError} if the label or the length is out of range.
   */
  export(label: string, context: Uint8Array | undefined, length: number): Uint8Array
  wipe(): void
}

/** That of TLS 1.3. @param secret the exporter_master_secret, taken over */
export function exporter13(kdf: Hkdf, secret: Uint8Array): Exporter {
  const expandLabel = anyExpandLabel(kdf)
  return {
    export: (label, context, length) =>
      exportKeyingMaterial({
        hash: kdf.hashName,
        expandLabel,
        secret,
        label,
        context: context ?? NONE,
        length,
      }),
    wipe: () => secret.fill(0),
  }
}

/** HKDF-Expand-Label(secret, label, context, length) with any label, `tls13 ` not included. RFC 8446 §7.1. */
export type ExpandLabel = (
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  length: number,
) => Uint8Array

/** Longest label: registered ones have less than 50 characters. It keeps HkdfLabel inside one HMAC input of {@link Hkdf}. */
const MAX_LABEL_BYTES = 128
/** HKDF-Expand counts its blocks in one byte (RFC 5869 §2.3), and the shorter hash has 32: so much in both versions. */
const MAX_EXPORTED_BYTES = 255 * 32

const NONE = new Uint8Array(0)
const encoder = new TextEncoder()

/**
 * The bytes of a label. `least`: RFC 5705 asks for none, `HkdfLabel.label<7..255>` of RFC 8446 for one.
 *
 * @throws {RangeError} if they are fewer, or more than 128.
 */
export function exporterLabel(label: string, least: 0 | 1): Uint8Array {
  const bytes = encoder.encode(label)
  if (bytes.length < least || bytes.length > MAX_LABEL_BYTES)
    throw new RangeError(`an exporter label has ${least} to ${MAX_LABEL_BYTES} bytes, not ${bytes.length}`)
  return bytes
}

/** `length` itself. @throws {RangeError} if it is no whole number from 1 to 8160. */
export function exportedLength(length: number): number {
  if (!Number.isInteger(length) || length < 1 || length > MAX_EXPORTED_BYTES)
    throw new RangeError(`an exporter gives 1 to ${MAX_EXPORTED_BYTES} bytes, not ${length}`)
  return length
}

/**
 *     TLS-Exporter(label, context_value, key_length) =
 *         HKDF-Expand-Label(Derive-Secret(exporter_master_secret, label, ""), "exporter", Hash(context_value), key_length)
 *
 * In TLS 1.3 no context and an empty one give the same.
 *
 * @param options `secret`: the exporter_master_secret, not changed; `label`: 1 to 128 bytes, see the IANA registry of TLS
 * exporter labels; `length`: bytes of the result, up to 8160.
 * @returns bytes the caller owns, and should wipe.
 * @throws {RangeError} if the label or the length is out of range.
 * @see RFC 8446 §7.5
 */
export function exportKeyingMaterial({
  hash,
  expandLabel,
  secret,
  label,
  context = NONE,
  length,
}: {
  readonly hash: HashName
  readonly expandLabel: ExpandLabel
  readonly secret: Uint8Array
  readonly label: string
  readonly context?: Uint8Array
  readonly length: number
}): Uint8Array {
  exporterLabel(label, 1)
  exportedLength(length)
  const derived = expandLabel(secret, label, digest(hash, NONE), secret.length)
  const material = expandLabel(derived, 'exporter', digest(hash, context), length)
  derived.fill(0)
  return material
}

/**
 * HKDF-Expand-Label for any label and more than one block, on the HMAC of the key schedule:
 *
 *     HkdfLabel = length(2) ‖ len(1) "tls13 " label ‖ len(1) context
 *     T(i)      = HMAC(secret, T(i-1) ‖ HkdfLabel ‖ i)                      RFC 5869 §2.3
 */
export function anyExpandLabel(kdf: Hkdf): ExpandLabel {
  return (secret, label, context, length) => {
    const info = new Writer(MAX_LABEL_BYTES)
      .u16(length)
      .opaque8(encoder.encode(`tls13 ${label}`))
      .opaque8(context)
      .finish()
    const material = new Uint8Array(length)
    const input = new Uint8Array(kdf.length + info.length + 1)
    input.set(info, kdf.length)
    // T(0) is empty: the first block leaves its place out.
    let from = kdf.length
    for (let at = 0, block = 1; at < length; block++) {
      input[input.length - 1] = block
      const output = kdf.hmac(secret, input.subarray(from))
      material.set(output.subarray(0, length - at), at)
      at += output.length
      input.set(output)
      output.fill(0)
      from = 0
    }
    input.fill(0)
    return material
  }
}

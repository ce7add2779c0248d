// The two ways to write an ECDSA signature: r‖s as PKCS#11 and Azure give it, DER as TLS carries it.
//
//     Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }      RFC 3279 §2.2.3
import { DecodeError, DER_TAG, Reader, readInside } from '@latchkey/core'
import { KeysError } from '../errors.ts'
import { withoutLeadingZeros } from '../ski.ts'

/** Bytes of a number below the order of each curve. */
export const ORDER_BYTES: Readonly<Record<string, number>> = {
  secp224r1: 28,
  prime256v1: 32,
  secp384r1: 48,
  secp521r1: 66,
}

/**
 * @param raw r‖s, big-endian.
 * @param orderBytes of the curve, see {@link ORDER_BYTES}: how long each of them is.
 * @returns an array of the caller's own.
 * @throws {KeysError} ERR_KEYS_REPLY if that is no pair of numbers above zero.
 */
export function ecdsaToDer(raw: Uint8Array, orderBytes: number): Uint8Array {
  if (raw.length !== 2 * orderBytes) {
    throw new KeysError('ERR_KEYS_REPLY', { detail: `an ECDSA signature of ${raw.length} bytes` })
  }
  const r = derInteger(raw.subarray(0, orderBytes))
  const s = derInteger(raw.subarray(orderBytes))
  const length = r.length + s.length
  const head = length < 0x80 ? [DER_TAG.sequence, length] : [DER_TAG.sequence, 0x81, length]
  return new Uint8Array([...head, ...r, ...s])
}

/**
 * @param der nothing may follow the signature, and its numbers must be in their shortest form.
 * @param orderBytes of the curve, see {@link ORDER_BYTES}.
 * @throws {KeysError} ERR_KEYS_REPLY
 */
export function ecdsaFromDer(der: Uint8Array, orderBytes: number): Uint8Array {
  try {
    const outer = new Reader(der)
    const fields = readInside(outer, DER_TAG.sequence)
    outer.end()
    const raw = new Uint8Array(2 * orderBytes)
    for (const end of [orderBytes, 2 * orderBytes]) {
      const number = positiveInteger(fields, orderBytes)
      raw.set(number, end - number.length)
    }
    fields.end()
    return raw
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new KeysError('ERR_KEYS_REPLY', { detail: 'an ECDSA signature that cannot be read', cause })
  }
}

function positiveInteger(fields: Reader, orderBytes: number): Uint8Array {
  const contents = readInside(fields, DER_TAG.integer).rest()
  const [first = 0, second = 0] = contents
  const number = withoutLeadingZeros(contents)
  const isShortest = first !== 0 || second >= 0x80
  if (first >= 0x80 || !isShortest || number.length === 0 || number.length > orderBytes) {
    throw new KeysError('ERR_KEYS_REPLY', { detail: 'an ECDSA signature with a number out of range' })
  }
  return number
}

/** X.690 §8.3: the shortest form, with a zero in front where the number would look negative. */
function derInteger(bytes: Uint8Array): number[] {
  const number = withoutLeadingZeros(bytes)
  if (number.length === 0) {
    throw new KeysError('ERR_KEYS_REPLY', { detail: 'an ECDSA signature with a zero in it' })
  }
  const sign = (number[0] as number) >= 0x80 ? [0] : []
  return [DER_TAG.integer, sign.length + number.length, ...sign, ...number]
}

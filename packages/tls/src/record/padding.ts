// Record padding: what hides the length of the content from those who see the records. RFC 8446 §5.4.
import { MAX_PLAINTEXT_BYTES } from './content-type.ts'

/**
 * How many zero bytes follow a content of `contentBytes`. It need not know the limit of a record: see {@link padBytes}.
 * It depends on the length alone, and costs what it adds: bytes on the wire and time of the cipher.
 */
export type PaddingPolicy = (contentBytes: number) => number

/** Nothing is hidden, nothing is added. */
export const noPadding: PaddingPolicy = () => 0

/**
 * Content and padding together are a multiple of `bytes`, so that an observer learns the length to so many bytes: of 2^14,
 * nothing but the number of records.
 *
 * @param bytes from 1 to 2^14
 * @throws {RangeError}
 */
export function toMultipleOf(bytes: number): PaddingPolicy {
  if (!Number.isInteger(bytes) || bytes < 1 || bytes > MAX_PLAINTEXT_BYTES)
    throw new RangeError(`padding to a multiple of 1 to ${MAX_PLAINTEXT_BYTES} bytes, not ${bytes}`)
  // Also for no content at all: an empty record that looks like no other would tell that it is empty.
  return (contentBytes) => (contentBytes === 0 ? bytes : (bytes - (contentBytes % bytes)) % bytes)
}

/**
 * The padding of one record: what `policy` wants, as far as the record has room.
 *
 * @param contentBytes from 0 to `maxBytes`
 * @param maxBytes content and padding of one record: 2^14, or one less than a record_size_limit (RFC 8449 §4), which
 * counts the content type.
 * @throws {RangeError} if the policy gives no whole number from 0 up.
 */
export function padBytes(
  policy: PaddingPolicy,
  contentBytes: number,
  maxBytes: number = MAX_PLAINTEXT_BYTES,
): number {
  const wanted = policy(contentBytes)
  if (!Number.isInteger(wanted) || wanted < 0) throw new RangeError(`${wanted} bytes of padding`)
  return Math.min(wanted, maxBytes - contentBytes)
}

// What is inside a protected record of TLS 1.3. RFC 8446 §5.2, §5.4.
import { refuse } from '../errors.ts'
import { ContentType, MAX_INNER_PLAINTEXT_BYTES } from './content-type.ts'

/**
 *     struct {
 *         opaque content[TLSPlaintext.length];
 *         ContentType type;
 *         uint8 zeros[length_of_padding];
 *     } TLSInnerPlaintext;
 *
 * @returns `content` as a view.
 * @throws {TlsError} ERR_TLS_RECORD_OVERFLOW, ERR_TLS_UNEXPECTED_MESSAGE
 */
export function readInnerPlaintext(inner: Uint8Array): { type: number; content: Uint8Array } {
  // §5.4: the limit is on content, type and padding together.
  if (inner.length > MAX_INNER_PLAINTEXT_BYTES)
    refuse('ERR_TLS_RECORD_OVERFLOW', `inner plaintext of ${inner.length} bytes`)
  let end = inner.length - 1
  while (end >= 0 && inner[end] === 0) end--
  if (end < 0) refuse('ERR_TLS_UNEXPECTED_MESSAGE', 'record without a content type')
  const type = inner[end] as number
  if (type < ContentType.alert || type > ContentType.application_data)
    refuse('ERR_TLS_UNEXPECTED_MESSAGE', `inner content type ${type}`)
  return { type, content: inner.subarray(0, end) }
}

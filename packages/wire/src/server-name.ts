// SNI bytes as text for people.
import type { Operation } from './operation.ts'

/** Longer than any DNS name (RFC 1035 §2.3.4: 255 bytes), short enough for a log line. */
const MAX_TEXT_BYTES = 255

/**
 * The server name for a log line: printable ASCII as it is, every other byte and the backslash as `\xNN`, cut after
 * 255 bytes. Peers do not check these bytes, so they may be anything. undefined if there is none.
 */
export function serverNameText({ serverName }: Operation): string | undefined {
  if (serverName === undefined) return undefined
  let text = ''
  for (const byte of serverName.subarray(0, MAX_TEXT_BYTES)) {
    const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x5c
    text += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return serverName.length > MAX_TEXT_BYTES ? `${text}…` : text
}

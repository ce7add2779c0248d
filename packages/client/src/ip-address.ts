// IP addresses from text to the bytes that the protocol carries.
import { isIPv4, isIPv6 } from 'node:net'

/**
 * 4 or 16 bytes of an address as a socket gives it, `192.0.2.1` or `2001:db8::1`; undefined if it is none. A zone
 * (`%eth0`) means nothing to others and is left out. IPv4-mapped addresses stay 16 bytes here.
 */
export function ipAddressBytes(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number)
  if (!isIPv6(text)) return undefined
  const [address = ''] = text.split('%')
  const [head = '', tail] = address.split('::')
  const front = groupsOf(head)
  const back = tail === undefined ? [] : groupsOf(tail)
  // RFC 4291 §2.2: "::" stands for as many zero groups as are missing. isIPv6 made sure that they fit.
  const bytes = new Uint8Array(16)
  bytes.set(front)
  bytes.set(back, 16 - back.length)
  return bytes
}

/** The bytes of colon-separated groups, the last of which may be dotted. */
function groupsOf(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number)
    const value = Number.parseInt(group, 16)
    return [value >>> 8, value & 0xff]
  })
}

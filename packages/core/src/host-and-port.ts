// An address as log lines show it.

/** `host:port` with the brackets that IPv6 needs; an IPv4 address of a dual-stack socket as IPv4. */
export function hostAndPort(address: string | undefined, port: number | undefined): string {
  if (address === undefined) return 'unknown'
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '')
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`
}

// An address as log lines show it.
import { isIPv6 } from 'node:net'

/** `127.0.0.1:2406`, `[::]:2406`. */
export function hostAndPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

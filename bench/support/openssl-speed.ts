// What the primitive itself costs on this machine, on one core, by the system's OpenSSL.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export const OPENSSL_SPEED = {
  p256: { algorithm: 'ecdsap256', row: / 256 bits ecdsa/ },
  rsa2048: { algorithm: 'rsa2048', row: /^rsa +2048 bits/ },
} as const

/** Signatures a second: the sign/s column of the row. */
export async function opensslSpeed(
  { algorithm, row }: { readonly algorithm: string; readonly row: RegExp },
  seconds: number,
): Promise<number> {
  const { stdout } = await promisify(execFile)('openssl', ['speed', '-seconds', String(seconds), algorithm])
  const line = stdout.split('\n').find((candidate) => row.test(candidate)) ?? ''
  const [signs] = line.match(/[\d.]+(?=\s+[\d.]+$)/) ?? []
  if (signs === undefined) throw new Error(`openssl speed printed no row for ${algorithm}`)
  return Number(signs)
}

// What the runner expects of an established connection.
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { CIPHER_SUITES, CIPHER_SUITES12, NAMED_GROUPS, type Session, type TlsSocket } from '@latchkey/tls'
import type { Credentials } from './credentials.ts'
import type { Settings } from './flags.ts'

const VERSIONS = { 'TLSv1.2': 0x0303, 'TLSv1.3': 0x0304 } as const

/** @throws {Error} naming the first expectation that is not met. */
export function checkSession(
  { session }: TlsSocket,
  settings: Settings,
  credentials: Credentials,
  isResumption: boolean,
): void {
  expect('version', VERSIONS[session.protocol], settings['-expect-version'])
  expect('resumption', session.isResumed, isResumption && settings['-expect-session-miss'] !== true)
  expect('ALPN protocol', session.alpnProtocol ?? '', expectedAlpn(settings))
  expect('server name', session.serverName, settings['-expect-server-name'])
  if (settings['-expect-no-server-name'] === true) expect('server name', session.serverName, '')
  expect('group', session.group && NAMED_GROUPS[session.group].code, settings['-expect-curve-id'])
  expect('cipher suite', suiteCode(session), settings['-expect-cipher'] ?? settings['-expect-cipher-aes'])
  if (settings['-expect-hrr'] === true) expect('retry', session.usedHelloRetryRequest, true)
  if (settings['-expect-no-hrr'] === true) expect('retry', session.usedHelloRetryRequest, false)
  checkClient(session, settings)
  expect('certificate', credentials.numberOf(session.credential), settings['-expect-selected-credential'])
}

function checkClient({ peerCertificates, authorized }: Session, settings: Settings): void {
  if (settings['-require-any-client-certificate'] === true)
    expect('whether there is a client certificate', peerCertificates.length > 0, true)
  if (settings['-expect-verify-result'] === true)
    expect('verdict about the client', authorized, peerCertificates.length > 0)
  const file = settings['-expect-peer-cert-file']
  if (file === undefined) return
  const blocks = readFileSync(file, 'utf8').split(/(?<=-----END CERTIFICATE-----)/)
  const chain = blocks.filter((block) => block.trim() !== '').map((block) => new X509Certificate(block).raw)
  expect(
    'chain of the client',
    Buffer.concat(peerCertificates).toString('hex'),
    Buffer.concat(chain).toString('hex'),
  )
}

function expect<T>(what: string, actual: T, wanted: T | undefined): void {
  if (wanted !== undefined && actual !== wanted) {
    throw new Error(`${what} is ${String(actual)}, the runner expects ${String(wanted)}`)
  }
}

function expectedAlpn(settings: Settings): string {
  return settings['-decline-alpn'] === true ? '' : (settings['-select-alpn'] ?? '')
}

function suiteCode({ cipherSuite }: Session): number {
  const rows: Readonly<Record<string, { readonly code: number }>> = { ...CIPHER_SUITES, ...CIPHER_SUITES12 }
  return rows[cipherSuite]?.code ?? 0
}

// The world's TLS clients, each behind one function: what is offered to a server, what came of it in the client's words.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { Agent, get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import {
  CIPHER_SUITES,
  CIPHER_SUITES12,
  type CipherSuite12Name,
  type CipherSuiteName,
  type GroupName,
  type ProtocolName,
} from '@latchkey/tls'
import { isInstalled, runCommand } from './command.ts'

export type SuiteName = CipherSuiteName | CipherSuite12Name
/** secp521r1: one that clients know and the engine does not take. */
export type OfferedGroup = GroupName | 'secp521r1'

export interface Place {
  readonly port: number
  /** Asked for, and expected in the certificate. */
  readonly host: string
  readonly caFile: string
  readonly caPem: string
  /** What the server's answers end with. */
  readonly answerEnds: string
}

/** The one version, the one suite, and the groups in the client's order. */
export interface Offer {
  readonly suite: SuiteName
  readonly groups: readonly OfferedGroup[]
}

/** One connection as the client tells of it. */
export interface Seen {
  readonly protocol: string | undefined
  /** By its IANA name. */
  readonly suite: string | undefined
  /** undefined: the client does not say. */
  readonly group: string | undefined
  readonly isResumed: boolean
  /** All it said about the connection, and what the server answered. */
  readonly text: string
}

export interface Client {
  readonly program: string
  readonly groups: readonly OfferedGroup[]
  /** Versions whose sessions it does not keep. */
  readonly forgets?: ProtocolName
  /** Two connections, the second with the session of the first if it got one. */
  readonly visitTwice: (place: Place, offer: Offer) => Promise<readonly Seen[]>
}

/** Clients that are not there are to be skipped by name. */
export function isAvailable({ program }: Client): boolean {
  return program === 'node' || isInstalled(program)
}

const CLASSICAL: readonly OfferedGroup[] = ['x25519', 'secp256r1', 'secp384r1', 'secp521r1']

export function protocolOf(suite: SuiteName): ProtocolName {
  return suite in CIPHER_SUITES ? 'TLSv1.3' : 'TLSv1.2'
}

function request(host: string, connection: 'close' | 'keep-alive'): string {
  return `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: ${connection}\r\n\r\n`
}

// ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const OPENSSL_GROUPS: Readonly<Record<OfferedGroup, string>> = {
  X25519MLKEM768: 'X25519MLKEM768',
  x25519: 'X25519',
  secp256r1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
}

/** OpenSSL offers by NIST's names and tells in those of X9.62 or SECG. */
const SPOKEN_GROUPS: Readonly<Record<string, OfferedGroup>> = {
  X25519MLKEM768: 'X25519MLKEM768',
  X25519: 'x25519',
  prime256v1: 'secp256r1',
  SECP256R1: 'secp256r1',
  secp384r1: 'secp384r1',
  SECP384R1: 'secp384r1',
}

function openSslGroups(groups: readonly OfferedGroup[]): string {
  return groups.map((group) => OPENSSL_GROUPS[group]).join(':')
}

function openSslSuite(suite: SuiteName): string {
  return suite in CIPHER_SUITES ? suite : CIPHER_SUITES12[suite as CipherSuite12Name].openSslName
}

/** An IANA name from OpenSSL's; the name itself where it is not one of ours. */
function ianaSuite(spoken: string | undefined): string | undefined {
  const row = Object.entries(CIPHER_SUITES12).find(([, { openSslName }]) => openSslName === spoken)
  return row?.[0] ?? spoken
}

function groupOf(spoken: string | undefined): string | undefined {
  return spoken === undefined ? undefined : (SPOKEN_GROUPS[spoken] ?? spoken)
}

/** What the first bracket of `pattern` matched. */
function find(text: string, pattern: RegExp): string | undefined {
  return pattern.exec(text)?.[1]
}

/** What a program said from each match of `start` on. @throws with all of it, if it did not end well. */
function perConnection(program: string, code: number | null, output: string, start: RegExp): string[] {
  if (code !== 0) throw new Error(`${program} ended with ${String(code)}: ${output}`)
  return output.split(start).slice(1)
}

// ── curl: two addresses in one command share its sessions ───────────────────────────────────────────────────────────

async function visitWithCurl({ port, host, caFile }: Place, { suite, groups }: Offer): Promise<Seen[]> {
  const place = ['--connect-to', `${host}:443:127.0.0.1:${port}`, '--cacert', caFile]
  const version =
    protocolOf(suite) === 'TLSv1.3'
      ? ['--tlsv1.3', '--tls13-ciphers', suite]
      : ['--tls-max', '1.2', '--ciphers', openSslSuite(suite)]
  const choice = [...version, '--http1.1', '--curves', openSslGroups(groups)]
  const visits = ['--header', 'Connection: close', `https://${host}/`, `https://${host}/`]
  const args = ['--silent', '--verbose', '--stderr', '-', ...place, ...choice, ...visits]
  const { code, output } = await runCommand('curl', args)
  return perConnection('curl', code, output, /^\*\s+Trying /m).map((text) => ({
    protocol: find(text, /SSL connection using (\S+) \//),
    suite: ianaSuite(find(text, /SSL connection using \S+ \/ (\S+)/)),
    group: groupOf(find(text, /SSL connection using \S+ \/ \S+ \/ (\S+)/)), // curl 8.6 and later
    isResumed: !text.includes('(IN), TLS handshake, Certificate (11)'),
    text,
  }))
}

// ── openssl s_client: the session in a file ─────────────────────────────────────────────────────────────────────────

async function visitWithOpenSsl({ port, host, caFile }: Place, { suite, groups }: Offer): Promise<Seen[]> {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-session-'))
  try {
    const session = join(folder, 'session.pem')
    const place = ['-connect', `127.0.0.1:${port}`, '-servername', host, '-verify_hostname', host]
    const trust = ['-CAfile', caFile, '-verify_return_error']
    const version =
      protocolOf(suite) === 'TLSv1.3'
        ? ['-tls1_3', '-ciphersuites', suite]
        : ['-tls1_2', '-cipher', openSslSuite(suite)]
    const choice = [...version, '-groups', openSslGroups(groups)]
    const visit = async (sessionArgs: readonly string[]): Promise<Seen> => {
      const args = ['s_client', '-ign_eof', ...place, ...trust, ...choice, ...sessionArgs]
      const { code, output } = await runCommand('openssl', args, { input: request(host, 'close') })
      const [text = ''] = perConnection('openssl', code, output, /^CONNECTED/m)
      return {
        protocol: find(text, /^ +Protocol *: (\S+)/m),
        suite: ianaSuite(find(text, /^(?:New|Reused), .*Cipher is (\S+)/m)),
        group: groupOf(find(text, /^(?:Server|Peer) Temp Key: (?:ECDH, )?(\w+)/m)),
        isResumed: /^Reused, /m.test(text),
        text,
      }
    }
    const first = await visit(['-sess_out', session])
    return [first, await visit(existsSync(session) ? ['-sess_in', session] : [])]
  } finally {
    rmSync(folder, { recursive: true })
  }
}

// ── gnutls-cli: its own command `^resume^`, once it has the answer and with it the ticket ───────────────────────────

const GNUTLS_GROUPS: Readonly<Partial<Record<OfferedGroup, string>>> = {
  x25519: 'GROUP-X25519',
  secp256r1: 'GROUP-SECP256R1',
  secp384r1: 'GROUP-SECP384R1',
  secp521r1: 'GROUP-SECP521R1',
}
/** By what an IANA name ends in. */
const GNUTLS_CIPHERS: readonly (readonly [ending: string, cipher: string])[] = [
  ['AES_128_GCM_SHA256', 'AES-128-GCM'],
  ['AES_256_GCM_SHA384', 'AES-256-GCM'],
  ['CHACHA20_POLY1305_SHA256', 'CHACHA20-POLY1305'],
]

async function visitWithGnuTls(
  { port, host, caFile, answerEnds }: Place,
  { suite, groups }: Offer,
): Promise<Seen[]> {
  const place = ['--port', String(port), '--sni-hostname', host, '--verify-hostname', host, '127.0.0.1']
  const version = protocolOf(suite) === 'TLSv1.3' ? 'VERS-TLS1.3' : 'VERS-TLS1.2:+ECDHE-ECDSA:+ECDHE-RSA'
  const cipher = GNUTLS_CIPHERS.find(([ending]) => suite.endsWith(ending))?.[1] ?? 'no such cipher'
  const named = groups.map((group) => `+${GNUTLS_GROUPS[group] ?? 'no such group'}`).join(':')
  const priority = `NONE:+${version}:+MAC-ALL:+SIGN-ALL:+CTYPE-X509:+${cipher}:${named}`
  const options = ['--x509cafile', caFile, '--priority', priority, '--single-key-share', '--inline-commands']
  const { code, output } = await runCommand('gnutls-cli', [...options, ...place], {
    input: request(host, 'keep-alive'),
    replies: [
      { after: answerEnds, input: '^resume^\n' },
      { after: 'Resume Handshake was completed', input: request(host, 'close') },
    ],
  })
  return perConnection('gnutls-cli', code, output, /^Connecting to /m).map((text) => {
    const description = find(text, /^- Description: (.*)$/m) ?? ''
    const spoken = GNUTLS_CIPHERS.find(([, name]) => description.endsWith(`(${name})`))?.[0]
    return {
      protocol: find(description, /^\(TLS(1\.\d)/) && `TLSv${find(description, /^\(TLS(1\.\d)/)}`,
      // It tells the cipher and, in TLS 1.2, the kind of key beside it: the rest of the suite's name follows from them.
      suite: spoken !== undefined && suite.endsWith(spoken) ? suite : description,
      group: groupOf(find(description, /\(ECDHE-(\w+)\)/)),
      isResumed: text.includes('*** This is a resumed session'),
      text,
    }
  })
}

// ── node:https: its agent keeps sessions ────────────────────────────────────────────────────────────────────────────

async function visitWithNode({ port, host, caPem }: Place, { suite, groups }: Offer): Promise<Seen[]> {
  const protocol = protocolOf(suite)
  const agent = new Agent({
    ca: caPem,
    minVersion: protocol,
    maxVersion: protocol,
    ciphers: openSslSuite(suite),
    ecdhCurve: openSslGroups(groups),
  })
  const visit = (): Promise<Seen> => {
    const { promise, resolve, reject } = Promise.withResolvers<Seen>()
    const options = {
      agent,
      host: '127.0.0.1',
      port,
      servername: host,
      headers: { host, connection: 'close' },
    }
    get(options, (response) => {
      const socket = response.socket as TLSSocket
      const key = socket.getEphemeralKeyInfo() as { name?: string } | null
      const seen = {
        protocol: socket.getProtocol() ?? undefined,
        suite: ianaSuite(socket.getCipher().name),
        group: groupOf(key?.name),
        isResumed: socket.isSessionReused(),
      }
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.once('end', () => resolve({ ...seen, text }))
    }).once('error', reject)
    return promise
  }
  try {
    return [await visit(), await visit()]
  } finally {
    agent.destroy()
  }
}

export const CLIENTS: readonly Client[] = [
  // curl switches the tickets of TLS 1.2 off in OpenSSL.
  { program: 'curl', groups: CLASSICAL, forgets: 'TLSv1.2', visitTwice: visitWithCurl },
  { program: 'openssl', groups: CLASSICAL, visitTwice: visitWithOpenSsl },
  { program: 'gnutls-cli', groups: CLASSICAL, visitTwice: visitWithGnuTls },
  { program: 'node', groups: ['X25519MLKEM768', ...CLASSICAL], visitTwice: visitWithNode },
]

// Fetches the demo's page as a stranger would: with curl where there is one.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import type { LookupFunction } from 'node:net'
import { promisify } from 'node:util'
import type { TLSSocket } from 'node:tls'

export interface Fetched {
  readonly with: 'curl' | 'node:https'
  readonly body: string
  /** `TLSv1.3` */
  readonly protocol: string
  readonly cipher: string
}

export interface Address {
  readonly name: string
  /** At 127.0.0.1. */
  readonly port: number
  readonly caFile: string
}

const TIMEOUT_SECONDS = 10

/** The arguments for curl: no proxy, no personal configuration, the name resolved by hand. */
export function curlArguments({ name, port, caFile }: Address): string[] {
  return [
    '-q',
    '--noproxy',
    '*',
    '--cacert',
    caFile,
    '--resolve',
    `${name}:${port}:127.0.0.1`,
    `https://${name}:${port}/`,
  ]
}

/** @throws what curl or node:https says if there is no page. */
export async function fetchPage(address: Address): Promise<Fetched> {
  return (await fetchWithCurl(address)) ?? fetchWithNode(address)
}

/** Undefined if there is no curl, or one that does not say what it negotiated. */
async function fetchWithCurl(address: Address): Promise<Fetched | undefined> {
  const args = ['--silent', '--show-error', '--verbose', '--max-time', String(TIMEOUT_SECONDS)]
  try {
    const { stdout, stderr } = await promisify(execFile)('curl', [
      ...curlArguments(address).slice(0, 1),
      ...args,
      ...curlArguments(address).slice(1),
    ])
    const [, protocol, cipher] = /SSL connection using (\S+) \/ (\S+)/.exec(stderr) ?? []
    if (protocol === undefined || cipher === undefined) return undefined
    return { with: 'curl', body: stdout, protocol, cipher }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    // Its last word, not all that it was told to tell.
    const [reason] = /^curl: .*$/m.exec((error as { stderr?: string }).stderr ?? '') ?? []
    throw new Error(reason ?? 'curl failed', { cause: error })
  }
}

export async function fetchWithNode({ name, port, caFile }: Address): Promise<Fetched> {
  const lookup: LookupFunction = (_name, options, answer) => {
    if (options.all === true) answer(null, [{ address: '127.0.0.1', family: 4 }])
    else answer(null, '127.0.0.1', 4)
  }
  const asked = request({
    host: name,
    port,
    ca: readFileSync(caFile),
    lookup,
    agent: false,
    signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000),
  })
  asked.end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const socket = response.socket as TLSSocket
  const protocol = socket.getProtocol() ?? ''
  const cipher = socket.getCipher().standardName
  let body = ''
  for await (const part of response.setEncoding('utf8')) body += String(part)
  return { with: 'node:https', body, protocol, cipher }
}
